"""What a layer follows is drawn as the rows say."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probe_bench.reports import tables
from probe_bench.reports.following import followed_curves, ripple_maps
from probe_bench.reports.style import house_style
from probe_bench.rows import Row

Rows = list[Row]


@pytest.fixture(autouse=True)
def _house_look() -> Iterator[None]:
    with house_style():
        yield


@pytest.fixture
def followed(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> pd.DataFrame:
    """Rows of every support cutoff again, as that of phones, pitch (missing) and ripples."""
    rows = make_rows({"wavjepa": 5})
    cutoffs = [row for row in rows if row.metric == "support_hz" and row.value]
    rows += [replace(row, metric="support_phones_hz", value=row.value / 2) for row in cutoffs]
    empty = {"value": None, "ci_low": None, "ci_high": None}
    rows += [replace(row, metric="support_pitch_hz", **empty) for row in cutoffs]
    for rate in (1, 2, 4):
        for scale in (0.0, 0.5):
            value = None if rate == 1 else 1 / (rate + scale)
            setting = f"mod_freq_hz={rate};scale_cyc_per_oct={scale:g}"
            setting += "" if value else ";reason=clips too short"
            ends = {"value": value, "ci_low": value, "ci_high": value, "setting": setting}
            rows += [replace(row, metric="support_joint_gain", **ends) for row in cutoffs]
    return tables.join_runs([make_run(tmp_path / "run", rows)])


def test_targets_are_drawn_beside_log_mel(followed: pd.DataFrame) -> None:
    sheet = followed_curves(followed, "followed")
    assert sheet is not None
    assert [entry.label for entry in sheet.legend] == ["phones", "pitch", "log-mel, same colours"]
    rows = followed[followed["metric"] == "support_phones_hz"]
    values = tables.layer_rows(rows, "wavjepa")["value"].to_numpy()
    lines = [np.asarray(line.get_ydata(), float) for line in sheet.cells[0].axes.lines]
    assert any(len(line) == len(values) and np.allclose(line, values) for line in lines)
    assert "pitch: " in sheet.alts[0][1]
    assert "not measurable" in sheet.alts[0][1]


def test_maps_are_those_of_the_ends_and_the_middle(followed: pd.DataFrame) -> None:
    sheet = ripple_maps(followed, "ripples")
    assert sheet is not None
    layers = [title.split(" · ")[-1] for title, _ in sheet.alts]
    assert len(layers) == 3
    axes = sheet.cells[0].axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "4"]
    assert [text.get_text() for text in axes.texts] == ["50", "25", "40", "22"]
    assert "2 Hz 45%, 4 Hz 24%" in sheet.alts[0][1]


def test_nothing_measured_gives_no_figure(table: pd.DataFrame) -> None:
    assert followed_curves(table, "followed") is None
    assert ripple_maps(table, "ripples") is None
