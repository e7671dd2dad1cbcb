"""What is drawn is what the rows say."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from probe_bench.reports import tables
from probe_bench.reports.figures import task_curves
from probe_bench.reports.modulation import spectra
from probe_bench.reports.speed_figure import cutoff_curves
from probe_bench.reports.style import depth_colours, house_style, looks
from probe_bench.rows import Row

Rows = list[Row]


@pytest.fixture(autouse=True)
def _house_look() -> Iterator[None]:
    with house_style():
        yield


def levels(line: Line2D) -> np.ndarray:
    """Vertical positions of a line's points."""
    return np.asarray(line.get_ydata(), float)


def drawn(axes: Axes, values: np.ndarray) -> bool:
    """Say whether a line with these values is in the panel."""
    return any(
        len(levels(line)) == len(values) and np.allclose(levels(line), values)
        for line in axes.lines
    )


def test_every_encoder_and_twin_is_drawn_from_its_rows(table: pd.DataFrame) -> None:
    panels = tables.headline_panels(table)
    sheet = task_curves(table, panels, "tasks")
    assert sheet is not None
    for panel, cell in zip(panels, sheet.cells, strict=True):
        for name in ("wavjepa", "random:wavjepa", "audio-jepa", "random:audio-jepa"):
            values = tables.layer_rows(panel.of(table), name)["value"].to_numpy()
            assert drawn(cell.axes, 100 * values), (panel, name)
        logmel = tables.layer_rows(panel.of(table), "logmel:100")["value"].item()
        assert drawn(cell.axes, np.array([100 * logmel] * 2))
    labels = [entry.label for entry in sheet.legend]
    assert labels == [
        "wavjepa", "random:wavjepa", "audio-jepa", "random:audio-jepa", "log-mel", "chance",
        "picked on validation",
    ]  # fmt: skip


def test_each_corpus_of_a_task_has_its_panel(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = make_rows({"one": 4})
    rows += [replace(row, corpus="real") for row in rows if row.task == "emotion"]
    table = tables.join_runs([make_run(tmp_path / "run", rows)])
    sheet = task_curves(table, tables.headline_panels(table), "tasks")
    assert sheet is not None
    titles = [cell.axes.get_title(loc="left") for cell in sheet.cells]
    assert titles[2:] == ["emotion · speech", "tagging · scenes", "emotion · real"]


def test_cutoffs_mark_what_is_censored_and_what_is_not_measurable(table: pd.DataFrame) -> None:
    sheet = cutoff_curves(table, "cutoff")
    assert sheet is not None
    axes = sheet.cells[0].axes
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    rows = table[(table["metric"] == "support_hz") & (table["role"] != "logmel")]
    assert len(arrows) == rows["censored"].sum() > 0
    crosses = sum(levels(line).size for line in axes.lines if line.get_marker() == "x")
    assert crosses == rows["value"].isna().sum() > 0
    assert drawn(axes, np.array([50.0, 50.0]))  # half of 100 frames a second


def test_an_open_interval_has_an_arrow(table: pd.DataFrame) -> None:
    rows = table[(table["metric"] == "support_hz") & (table["encoder"] == "wavjepa")].copy()
    rows["censored"] = False
    rows.loc[rows["layer"] == "L2", "ci_high"] = np.nan
    sheet = cutoff_curves(rows, "cutoff")
    assert sheet is not None
    arrows = [t for t in sheet.cells[0].axes.texts if getattr(t, "arrow_patch", None) is not None]
    assert len(arrows) == 1


@pytest.mark.parametrize("metric", ["support_gain", "speed_psd"])
def test_spectra_show_every_layer_and_the_control(table: pd.DataFrame, metric: str) -> None:
    sheet = spectra(table, metric, metric)
    assert sheet is not None
    assert [cell.axes.get_title(loc="left") for cell in sheet.cells] == [
        "wavjepa · speech", "audio-jepa · speech",
    ]  # fmt: skip
    for name, cell in zip(("wavjepa", "audio-jepa"), sheet.cells, strict=True):
        panel = table[(table["task"] == "modulation") & (table["metric"] == metric)]
        for layer in tables.layer_rows(panel, name)["layer"]:
            assert drawn(cell.axes, tables.spectrum(table, metric, name, layer)["value"].to_numpy())
        control = tables.spectrum(table, metric, "logmel:100", "in")["value"].to_numpy()
        assert drawn(cell.axes, control)


def test_nothing_measured_draws_nothing(table: pd.DataFrame) -> None:
    assert task_curves(table, [], "tasks") is None
    tasks = table[table["task"] != "modulation"]
    assert cutoff_curves(tasks, "cutoff") is None
    assert spectra(tasks, "speed_psd", "speed") is None


def test_layers_that_could_not_be_measured_at_all_still_draw(table: pd.DataFrame) -> None:
    nothing = table[table["task"] == "modulation"].assign(value=np.nan, ci_low=np.nan)
    nothing = nothing.assign(ci_high=np.nan, frame_rate_hz=np.nan, censored=False)
    assert spectra(nothing, "support_gain", "gain") is None
    sheet = cutoff_curves(nothing, "cutoff")
    assert sheet is not None
    sheet.figure.canvas.draw()
    assert "not measurable" in sheet.alts[0][1]


def test_an_encoder_of_one_layer_is_a_level(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [
        replace(row, role="subject") if row.role == "logmel" else row
        for row in make_rows({"one": 4})
        if row.encoder != "one"
    ]
    table = tables.join_runs([make_run(tmp_path / "run", rows)])
    panel = tables.headline_panels(table)[0]
    sheet = task_curves(table, [panel], "tasks")
    assert sheet is not None
    value = tables.layer_rows(panel.of(table), "logmel:100")["value"].item()
    assert drawn(sheet.cells[0].axes, np.array([100 * value] * 2))


def test_costs_that_hardly_differ_do_not_fill_their_axis(table: pd.DataFrame) -> None:
    errors = table[(table["metric"] == "eer") & (table["role"] != "chance")]
    columns = ["value", "ci_low", "ci_high"]
    for factor, expected in ((0.01, 0.2), (3.0, 0.62)):
        costs = errors.assign(metric="mindcf", **{name: factor * errors[name] for name in columns})
        sheet = task_curves(costs, tables.panels(costs), "others")
        assert sheet is not None
        low, high = sheet.cells[0].axes.get_ylim()
        assert high - low == pytest.approx(expected, rel=0.1), factor
        shown = costs[costs["role"] == "subject"]
        assert low < shown["ci_low"].min() < shown["ci_high"].max() < high


def test_names_of_25_layers_do_not_touch(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    table = tables.join_runs([make_run(tmp_path / "run", make_rows({"large": 24}))])
    sheet = task_curves(table, tables.headline_panels(table)[:1], "tasks")
    assert sheet is not None
    sheet.figure.canvas.draw()
    axes = sheet.cells[0].axes
    names = [
        text
        for text in axes.texts
        if text.get_text() in {*["cnn", "in", "out_norm"], *(f"L{k}" for k in range(25))}
    ]
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.x0)
    assert len(names) > 5
    assert names[0].get_text() == "cnn"
    assert names[-1].get_text() == "out_norm"
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_looks_differ_without_colour_and_colours_rise_in_lightness() -> None:
    found = looks([str(k) for k in range(12)])
    assert len({(look.marker, look.dashes) for look in found.values()}) == 12
    lightness = [
        colour @ np.array([0.2126, 0.7152, 0.0722])
        for colour in np.array(depth_colours(np.linspace(0, 1, 5).tolist()))
    ]
    assert all(np.diff(lightness) > 0.02)
