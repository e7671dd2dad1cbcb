"""Per-layer figures: what the tasks read from every layer, and how fast a layer can follow."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from probe_bench.reports.canvas import Cell, Entry, Sheet, line_style, new_sheet, write_title
from probe_bench.reports.curves import (
    Series,
    draw_chance,
    draw_line,
    drawn_series,
    legend_entries,
    looks_here,
    name_axis,
    numbers_of,
)
from probe_bench.reports.layer_axis import axis_height_in, draw_layer_axis
from probe_bench.reports.metrics import MetricText, metric_text
from probe_bench.reports.style import ALIKE, FEW, PICKED, Look
from probe_bench.reports.tables import (
    Panel,
    best,
    chance_score,
    layer_rows,
    score_of,
    subjects,
    told_of,
)

__all__ = ["task_curves"]


def task_curves(
    table: pd.DataFrame,
    panels: Sequence[Panel],
    name: str,
    *,
    tests: pd.DataFrame | None = None,
    by_probe: bool = False,
) -> Sheet | None:
    """Draw score against layer, one panel a task, corpus and metric; None if there is nothing.

    Args:
        table: Rows with display names.
        panels: What to draw.
        name: File name of the sheet.
        tests: Paired tests, which say what layers cannot be told from the picked one.
        by_probe: Whether the titles say which probe it was.
    """
    panels = [panel for panel in panels if subjects(panel.of(table))]
    if not panels:
        return None
    marks = _mark_entries(table, panels, tests)
    room_in = axis_height_in(table, [panel.of(table) for panel in panels])
    legend = [*legend_entries(table), *marks]
    sheet = new_sheet(name, len(panels), legend, bottom_in=room_in)
    for panel, cell in zip(panels, sheet.cells, strict=True):
        title = f"{panel.task} · {panel.corpus}" + (f" · {panel.probe}" if by_probe else "")
        write_title(cell.axes, title)
        sheet.alts.append((title, _draw_task(cell, panel, table, tests)))
    return sheet


def _mark_entries(
    table: pd.DataFrame, panels: Sequence[Panel], tests: pd.DataFrame | None
) -> list[Entry]:
    """What outlined marks mean, where any are drawn."""
    pairs = [(panel, panel.of(table), name) for panel in panels for name in subjects(table)]
    entries = []
    if any(best(rows, name) for _, rows, name in pairs):
        entries.append(Entry(label="picked on validation", look=PICKED))
    few = len(subjects(table)) <= FEW
    if few and any(told_of(tests, panel, rows, name).alike for panel, rows, name in pairs):
        entries.append(Entry(label="cannot be told from it", look=ALIKE))
    return entries


def _draw_task(cell: Cell, panel: Panel, table: pd.DataFrame, tests: pd.DataFrame | None) -> str:
    """Fill one panel and say in words what is in it."""
    axes, rows, text = cell.axes, panel.of(table), metric_text(panel.metric)
    shown = looks_here(table, rows)
    for series in drawn_series(table, rows):
        _draw_series(axes, rows, series, text)
        if series.role == "subject":
            alike = told_of(tests, panel, rows, series.name).alike if series.band else ()
            _mark_layers(axes, rows, series, text, alike)
    _widen(axes, text)
    draw_chance(axes, chance_score(table, panel), text)
    draw_layer_axis(axes, rows, shown)
    if all(layer_rows(rows, name).empty for name in shown):
        axes.set_xticks([])
        axes.set_xlabel("all layers together")
    name_axis(axes, text)
    return _describe(rows, list(shown), text)


def _widen(axes: Axes, text: MetricText) -> None:
    """Give an axis that shows less than its metric's least range that range, most of it below."""
    low, high = axes.get_ylim()
    least = text.least_span * text.scale
    if high - low < least:
        top = high + 0.05 * least  # room for the markers
        axes.set_ylim(top - least, top)


def _draw_series(axes: Axes, rows: pd.DataFrame, series: Series, text: MetricText) -> None:
    """Draw one line over its layers; one with a single layer, or one score of all, becomes a level."""
    mine = layer_rows(rows, series.name).dropna(subset=["value"])
    if len(mine) > 1:
        draw_line(axes, mine["place"], numbers_of(mine, text), series.look, band=series.band)
    else:
        _draw_level(axes, rows, series, text)


def _draw_level(axes: Axes, rows: pd.DataFrame, series: Series, text: MetricText) -> None:
    """Draw an encoder of one layer, or one score of all layers, as a line with its interval."""
    result = best(rows, series.name)
    if result is None or not result[1].measured:
        return
    score = result[1]
    if series.band and np.isfinite(score.low) and np.isfinite(score.high):
        ends = (score.low * text.scale, score.high * text.scale)
        axes.axhspan(*ends, color=series.look.colour, alpha=0.13, linewidth=0)
    axes.axhline(score.value * text.scale, **{**line_style(series.look), "marker": None})


def _mark_layers(
    axes: Axes, rows: pd.DataFrame, series: Series, text: MetricText, alike: Sequence[str]
) -> None:
    """Outline the picked layer, with its interval, and the layers that a test cannot tell from it."""
    mine, result = layer_rows(rows, series.name), best(rows, series.name)
    _mark(axes, mine[mine["layer"].isin(alike)], series.look, ALIKE, text)
    picked = mine[mine["layer"] == (result[0] if result else None)]
    for place, (_, low, high) in zip(picked["place"], numbers_of(picked, text), strict=True):
        axes.vlines(place, low, high, color=series.look.colour, linewidth=1.1)
    _mark(axes, picked, series.look, PICKED, text)


def _mark(axes: Axes, mine: pd.DataFrame, look: Look, mark: Look, text: MetricText) -> None:
    """Draw some layers once more as a legend's mark has them, in an encoder's colour and shape."""
    grown = mark.size - ALIKE.size
    outlined = replace(mark, colour=look.colour, marker=look.marker, size=look.size + grown)
    axes.plot(mine["place"], numbers_of(mine, text)[:, 0], **line_style(outlined))


def _describe(rows: pd.DataFrame, names: Sequence[str], text: MetricText) -> str:
    """Put a panel into words."""
    parts = []
    for name in names:
        mine = layer_rows(rows, name).dropna(subset=["value"])
        ends = [f"{text.full(score_of(row))} at {row['layer']}" for _, row in mine.iterrows()]
        if ends:
            result = best(rows, name)
            chosen = f", chosen layer {result[0]} {text.full(result[1])}" if result else ""
            parts.append(f"{name}: from {ends[0]} to {ends[-1]}{chosen}")
    return f"{text.axis} by layer. " + "; ".join(parts) + "."
