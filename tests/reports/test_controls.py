"""Controls of known cutoff stand beside the cutoffs, as the rows have them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probe_bench.reports import tables
from probe_bench.reports.controls import calibration_lines, control_readings
from probe_bench.reports.html import render
from probe_bench.reports.speed_figure import cutoff_curves
from probe_bench.reports.style import house_style
from probe_bench.rows import Row

Rows = list[Row]
READ_HZ = {"lowpass:2": 2.02, "lowpass:16": 16.1, "meanpool:80": 5.9}


@pytest.fixture(autouse=True)
def _house_look() -> Iterator[None]:
    with house_style():
        yield


@pytest.fixture
def rows(make_rows: Callable[..., Rows]) -> Rows:
    """One encoder, three filters by support and emphasis, and shuffled clips."""
    found = make_rows({"wavjepa": 3})
    model = next(row for row in found if row.metric == "support_total_hz")
    model = replace(model, layer="in", depth=0.0, role="control", censored=False)
    for name, hz in READ_HZ.items():
        mine = replace(model, encoder=name, value=hz, ci_low=hz / 1.1, ci_high=hz * 1.1)
        found += [mine, replace(mine, metric="emphasis_total_hz")]
    null = replace(model, encoder="shuffled:wavjepa", value=None, ci_low=None, ci_high=None)
    found.append(replace(null, metric="support_hz", setting="reason=nothing"))
    return [*found, replace(null, metric="support_r2", value=-0.02)]


@pytest.fixture
def table(rows: Rows, make_run: Callable[..., Path], tmp_path: Path) -> pd.DataFrame:
    return tables.join_runs([make_run(tmp_path / "run", rows)])


def test_readings_are_over_the_known_truth(table: pd.DataFrame) -> None:
    mine = control_readings(table).set_index(["encoder", "metric"])
    assert mine.loc[("lowpass:2", "support_total_hz"), "ratio"] == pytest.approx(1.01)
    assert mine.loc[("meanpool:80", "emphasis_total_hz"), "truth_hz"] == pytest.approx(443 / 80)
    assert mine.loc[("lowpass:16", "support_total_hz"), "high"] == pytest.approx(16.1 * 1.1 / 16)
    assert len(mine) == 6


def test_the_figure_has_a_panel_of_them(table: pd.DataFrame) -> None:
    sheet = cutoff_curves(table, "cutoff")
    assert sheet is not None
    titles = [title for title, _ in sheet.alts]
    assert titles == ["support cutoff · speech", "controls of known cutoff · speech"]
    ratios = np.sort(
        [hz / truth for hz, truth in zip((2.02, 16.1, 5.9), (2, 16, 443 / 80), strict=True)]
    )
    lines = [np.sort(np.asarray(line.get_ydata(), float)) for line in sheet.cells[1].axes.lines]
    assert sum(len(line) == 3 and np.allclose(line, ratios) for line in lines) == 2
    assert "lowpass:2 1.01" in sheet.alts[1][1]
    assert {"control, support", "control, emphasis"} <= {entry.label for entry in sheet.legend}


def test_arrows_stay_inside_the_panel(table: pd.DataFrame) -> None:
    sheet = cutoff_curves(table[table["role"] == "subject"].assign(frame_rate_hz=10.0), "cutoff")
    assert sheet is not None
    tips = [text.xy[1] for text in sheet.cells[0].axes.texts if hasattr(text, "arrow_patch")]
    assert max(tip for tip in tips if isinstance(tip, float)) < sheet.cells[0].axes.get_ylim()[1]


def test_the_span_of_the_masks_is_marked(table: pd.DataFrame) -> None:
    sheet = cutoff_curves(table, "cutoff", {"wavjepa": 250.0, "another": 80.0})
    assert sheet is not None
    marks = [line for line in sheet.cells[0].axes.lines if line.get_marker() == "<"]
    assert [float(np.asarray(line.get_ydata())[0]) for line in marks] == [2.0]
    assert sheet.cells[0].axes.get_ylim()[0] < 2
    assert "1 / (2 T) of the masks of wavjepa: 2 Hz." in sheet.alts[0][1]


def test_the_line_says_how_far_they_are_off(table: pd.DataFrame) -> None:
    (line,) = calibration_lines(table)
    assert line.replace("\u202f", " ") == (
        "Calibration on this sound: 3 filters of known cutoff, 2 to 16 Hz, read within 7 % of it; clips "
        "shuffled against the sound are not measurable, as it must be, R² at most \N{MINUS SIGN}0.02."
    )
    both = pd.concat([table, table.assign(corpus="real")], ignore_index=True)
    assert [line.split(":")[0] for line in calibration_lines(both)] == [
        "Calibration on speech",
        "Calibration on real",
    ]


def test_controls_that_fail_are_named(table: pd.DataFrame) -> None:
    null = (table["role"] == "control") & (table["metric"] == "support_hz")
    missed = table["encoder"] == "meanpool:80"
    broken = table.assign(
        value=table["value"].mask(null, 5.0), ci_low=table["ci_low"].mask(missed, 5.6)
    )
    (line,) = calibration_lines(broken)
    assert "meanpool:80 outside the interval" in line
    assert "shuffled:wavjepa can be measured, so distrust all of this" in line
    assert calibration_lines(table[table["role"] != "control"]) == []
    nothing = table[table["role"] == "control"].assign(value=math.nan)
    assert "filters" not in calibration_lines(nothing)[0]


def test_the_page_says_it_first(table: pd.DataFrame, tmp_path: Path) -> None:
    assert len(table)
    page = render([tmp_path / "run"], tmp_path / "run").read_text(encoding="utf-8")
    section = page[page.index('id="speed"') :]
    assert section.index("L3 of wavjepa follows modulations up to") < section.index("<svg")
    assert "Calibration on this sound" in section
