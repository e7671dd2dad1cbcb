"""Half rates in the report: drawn and told as the rows say, each kind of censoring in its own words."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from probe_bench.reports import tables
from probe_bench.reports.html import render
from probe_bench.reports.style import house_style
from probe_bench.reports.terminal import summary
from probe_bench.reports.timescale import half_rate_curves, half_rate_lines
from probe_bench.rows import Row

Rows = list[Row]
HEADLINES = {("speaker", "accuracy"): 3.0, ("phoneme", "accuracy"): 6.1, ("emotion", "uar"): 1.0}


@pytest.fixture(autouse=True)
def _house_look() -> Iterator[None]:
    with house_style():
        yield


@pytest.fixture
def rows(make_rows: Callable[..., Rows]) -> Rows:
    """Every headline score again as its half rate; emotion lies below 1 Hz."""
    found = make_rows({"wavjepa": 3})
    for row in list(found):
        rate = HEADLINES.get((row.task, row.metric))
        if rate is None or row.role == "chance":
            continue
        below = rate == 1.0
        half = replace(
            row,
            metric=f"half_rate_hz:{row.metric}",
            split="test+modulations",
            setting=f"{'bound=at most;' if below else ''}mod_cutoff_hz=32|16|8|4|2|1",
            value=rate,
            ci_low=None if below else rate * 0.85,
            ci_high=rate * 1.2,
            censored=below,
        )
        found.append(half)
    return found


@pytest.fixture
def table(rows: Rows, make_run: Callable[..., Path], tmp_path: Path) -> pd.DataFrame:
    return tables.join_runs([make_run(tmp_path / "run", rows)])


def test_every_task_has_a_panel_with_its_half_rates(table: pd.DataFrame) -> None:
    sheet = half_rate_curves(table, "half_rates")
    assert sheet is not None
    assert [title for title, _ in sheet.alts] == [
        "speaker · speech",
        "phoneme · speech",
        "emotion · speech",
    ]
    lines = [np.asarray(line.get_ydata(), float) for line in sheet.cells[1].axes.lines]
    assert any(len(line) > 2 and (line == 6.1).all() for line in lines)
    assert "L1 6.1\u202fHz [5.2, 7.3]" in sheet.alts[1][1]
    assert "L1 < 1.0\u202fHz" in sheet.alts[2][1]


def test_the_terminal_says_each_half_rate(table: pd.DataFrame) -> None:
    stream = io.StringIO()
    Console(file=stream, width=200).print(summary(table))
    for line in half_rate_lines(table):
        assert line in stream.getvalue()


def test_arrows_point_to_where_the_truth_lies(table: pd.DataFrame) -> None:
    sheet = half_rate_curves(table, "half_rates")
    assert sheet is not None
    tips = [text.xy[1] for text in sheet.cells[2].axes.texts if hasattr(text, "arrow_patch")]
    assert any(tip < 1 for tip in tips if isinstance(tip, float))
    low, high = sheet.cells[2].axes.get_ylim()
    assert low < min(tip for tip in tips if isinstance(tip, float) and tip > 0.1)
    assert high > 1


def test_one_sentence_a_task_and_encoder(table: pd.DataFrame, rows: Rows) -> None:
    speaker, phoneme, emotion = half_rate_lines(table)
    layer = next(
        row.layer
        for row in rows
        if row.chosen and row.task == "phoneme" and row.encoder == "wavjepa"
    )
    assert phoneme == (
        f"phoneme: half of what wavjepa knows at {layer} is gone when modulations above 6.1\u202fHz "
        "(5.2 to 7.3) are removed."
    )
    assert speaker.startswith("speaker: half of what wavjepa ")
    assert emotion.startswith("emotion: more than half of what wavjepa ")
    assert emotion.endswith("is left when modulations above 1.0\u202fHz are removed.")


def test_layers_that_differ_between_folds_are_not_named_as_one(
    rows: Rows, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    half = "half_rate_hz:accuracy"
    changed = [
        replace(row, setting="layer=in;l2=1|layer=L2;l2=1;mod_cutoff_hz=16|8|4|2|1")
        if (row.task, row.metric, row.layer) == ("phoneme", half, "best")
        else row
        for row in rows
    ]
    assert changed != rows
    table = tables.join_runs([make_run(tmp_path / "mixed", changed)])
    said = half_rate_lines(table)[1]
    assert "what wavjepa knows at the layers that the folds picked is gone" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ci_low": None}, "above 6.10\u202fHz (at most 7.32) are removed."),
        ({"ci_high": None}, "above 6.10\u202fHz (at least 5.18) are removed."),
        ({"ci_low": None, "ci_high": None}, "above 6.10\u202fHz are removed."),
        (
            {"value": 32.0, "ci_low": 20.0, "ci_high": None, "censored": True},
            "is gone as soon as modulations above 32\u202fHz are removed.",
        ),
        ({"value": None, "ci_low": None, "ci_high": None}, "cannot be told from chance."),
    ],
)
def test_open_ends_are_said(
    rows: Rows, change: dict[str, object], said: str, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    half = "half_rate_hz:accuracy"
    changed = [
        replace(row, **change) if (row.task, row.metric) == ("phoneme", half) else row  # type: ignore[arg-type]
        for row in rows
    ]
    table = tables.join_runs([make_run(tmp_path / "open", changed)])
    assert half_rate_lines(table)[1].endswith(said)
    assert half_rate_curves(table, "half_rates") is not None


def test_the_page_tells_them_and_no_clean_number_changes(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    page = render([tmp_path / "run"], tmp_path / "run").read_text(encoding="utf-8")
    assert "Task timescales" in page
    assert "half_rate_by_layer.svg" in page
    assert "phoneme: half of what wavjepa" in page
    clean = table[~table["split"].str.startswith("test+")]
    assert tables.panels(table) == tables.panels(clean)


def test_a_run_without_them_says_nothing(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    clean = tables.join_runs([make_run(tmp_path / "clean", make_rows({"wavjepa": 3}))])
    assert half_rate_curves(clean, "half_rates") is None
    assert half_rate_lines(clean) == []
