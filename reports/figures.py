"""Per-layer figures: what the tasks read from every layer, and how fast a layer can follow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from probe_bench.reports.canvas import Cell, Entry, Sheet, line_style, new_sheet
from probe_bench.reports.layer_axis import draw_layer_axis
from probe_bench.reports.metrics import MetricText, Score, metric_text
from probe_bench.reports.style import CHANCE, FEW, INK, LOGMEL, PAPER, TWINS, Look, looks
from probe_bench.reports.tables import (
    Panel,
    best,
    chance_score,
    layer_rows,
    score_of,
    subjects,
    told_of,
    twin_name,
)

__all__ = [
    "draw_chance",
    "draw_series",
    "legend_entries",
    "logmel_look",
    "logmel_names",
    "looks_here",
    "task_curves",
]


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
    sheet = new_sheet(name, len(panels), legend_entries(table))
    for panel, cell in zip(panels, sheet.cells, strict=True):
        title = f"{panel.task} · {panel.corpus}" + (f" · {panel.probe}" if by_probe else "")
        cell.axes.set_title(title)
        sheet.alts.append((title, _draw_task(cell, panel, table, tests)))
    return sheet


def legend_entries(table: pd.DataFrame) -> list[Entry]:
    """Encoders with their twins, then the baselines that there are."""
    styles = looks(subjects(table))
    entries = []
    for name, look in styles.items():
        entries.append(Entry(label=name, look=look))
        twin = twin_name(table, name)
        if twin is not None and len(styles) <= FEW:
            entries.append(Entry(label=twin, look=look.twin))
    roles = set(table["role"])
    if "random" in roles and len(styles) > FEW:
        entries.append(Entry(label="random twins", look=TWINS))
    if "logmel" in roles:
        several = len(logmel_names(table)) > 1
        label = "log-mel, its encoder's colour" if several else "log-mel"
        entries.append(Entry(label=label, look=LOGMEL))
    if "chance" in roles:
        entries.append(Entry(label="chance", look=CHANCE))
    return entries


def looks_here(table: pd.DataFrame, rows: pd.DataFrame) -> Mapping[str, Look]:
    """Looks of the encoders that have rows here."""
    here = set(rows["name"])
    return {name: look for name, look in looks(subjects(table)).items() if name in here}


def logmel_names(rows: pd.DataFrame) -> list[str]:
    """Display names of the log-mel baselines."""
    return [str(name) for name in rows.loc[rows["role"] == "logmel", "name"].unique()]


def logmel_look(rows: pd.DataFrame, name: str, shown: Mapping[str, Look]) -> Look:
    """Give log-mel the colour of the only encoder of its frame rate, if there are several log-mels."""
    rate_hz = layer_rows(rows, name)["frame_rate_hz"].max()
    owners = [
        look
        for own, look in shown.items()
        if layer_rows(rows, own)["frame_rate_hz"].max() == rate_hz
    ]
    several = len(logmel_names(rows)) > 1
    return replace(LOGMEL, colour=owners[0].colour) if several and len(owners) == 1 else LOGMEL


def _draw_task(cell: Cell, panel: Panel, table: pd.DataFrame, tests: pd.DataFrame | None) -> str:
    """Fill one panel and say in words what is in it."""
    axes, rows, text = cell.axes, panel.of(table), metric_text(panel.metric)
    shown = looks_here(table, rows)
    few = len(subjects(table)) <= FEW
    for name in logmel_names(rows):
        _draw_level(axes, rows, name, logmel_look(rows, name, shown), text)
    for name, look in shown.items():
        twin = twin_name(rows, name)
        if twin is not None:
            thin = look.twin if few else TWINS
            draw_series(axes, rows, twin, thin, text, band=False)
    for name, look in shown.items():
        draw_series(axes, rows, name, look, text, band=few)
        if few:
            _outline_alike(axes, rows, name, look, text, told_of(tests, panel, rows, name).alike)
        _ring_chosen(axes, rows, name, look, text)
    _widen(axes, text)
    draw_chance(axes, chance_score(table, panel), text)
    draw_layer_axis(axes, rows, shown)
    if all(layer_rows(rows, name).empty for name in shown):
        axes.set_xticks([])
        axes.set_xlabel("all layers together")
    axes.set_ylabel(text.axis)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    return _describe(rows, list(shown), text)


def _widen(axes: Axes, text: MetricText) -> None:
    """Give an axis that shows less than its metric's least range that range, most of it below."""
    low, high = axes.get_ylim()
    least = text.least_span * text.scale
    if high - low < least:
        top = high + 0.05 * least  # room for the markers
        axes.set_ylim(top - least, top)


def draw_chance(axes: Axes, chance: Score | None, text: MetricText) -> None:
    """Draw the level of guessing, or say where it is if it would squeeze the curves."""
    if chance is None:
        return
    level = chance.value * text.scale
    low, high = axes.get_ylim()
    if low - (high - low) / 2 <= level <= high + (high - low) / 2:
        axes.axhline(level, **line_style(CHANCE))
        return
    below = level < low
    axes.annotate(
        f"{'↓' if below else '↑'} chance {text.full(replace(chance, low=math.nan, high=math.nan))}",
        (1, 0 if below else 1),
        xycoords="axes fraction",
        xytext=(0, 2 if below else -2),
        textcoords="offset points",
        ha="right",
        va="bottom" if below else "top",
        fontsize=6.5,
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 0.5},
    )


def draw_series(
    axes: Axes, rows: pd.DataFrame, name: str, look: Look, text: MetricText, *, band: bool
) -> None:
    """Draw one encoder over its layers; one with a single layer, or one score of all, becomes a level."""
    mine = layer_rows(rows, name).dropna(subset=["value", "depth"])
    if len(mine) <= 1:
        _draw_level(axes, rows, name, look, text)
        return
    depths, values, lows, highs = _columns(mine, text)
    if band:
        axes.fill_between(depths, lows, highs, color=look.colour, alpha=0.13, linewidth=0)
        for edge in (lows, highs):
            axes.plot(depths, edge, color=look.colour, alpha=0.5, linewidth=0.5)
    axes.plot(depths, values, **line_style(look))


def _columns(mine: pd.DataFrame, text: MetricText) -> tuple[np.ndarray, ...]:
    depths = mine["depth"].to_numpy(float)
    numbers = mine[["value", "ci_low", "ci_high"]].to_numpy(float) * text.scale
    return depths, numbers[:, 0], numbers[:, 1], numbers[:, 2]


def _draw_level(axes: Axes, rows: pd.DataFrame, name: str, look: Look, text: MetricText) -> None:
    """Draw an encoder of one layer, or one score of all layers, as a line with its interval."""
    result = best(rows, name)
    if result is None or not result[1].measured:
        return
    score = result[1]
    if np.isfinite(score.low) and np.isfinite(score.high):
        ends = (score.low * text.scale, score.high * text.scale)
        axes.axhspan(*ends, color=look.colour, alpha=0.1, linewidth=0)
    axes.axhline(score.value * text.scale, **{**line_style(look), "marker": None})


def _ring_chosen(axes: Axes, rows: pd.DataFrame, name: str, look: Look, text: MetricText) -> None:
    """Ring the layer that was picked on validation data and draw its interval."""
    result = best(rows, name)
    mine = layer_rows(rows, name)
    mine = mine[mine["layer"] == result[0]] if result else mine.iloc[:0]
    if mine.empty:
        return
    depths, values, lows, highs = _columns(mine, text)
    axes.vlines(depths, lows, highs, color=look.colour, linewidth=1.1)
    axes.plot(
        depths, values, marker=look.marker, markersize=look.size + 2.8, markerfacecolor=look.colour,
        markeredgecolor=INK, markeredgewidth=1.0,
    )  # fmt: skip


def _outline_alike(
    axes: Axes, rows: pd.DataFrame, name: str, look: Look, text: MetricText, alike: Sequence[str]
) -> None:
    """Outline the layers that a paired test cannot tell from the picked one."""
    mine = layer_rows(rows, name)
    depths, values, _, _ = _columns(mine[mine["layer"].isin(alike)], text)
    axes.plot(
        depths, values, linestyle="", marker=look.marker, markersize=look.size,
        markerfacecolor=look.colour, markeredgecolor=INK, markeredgewidth=0.8,
    )  # fmt: skip


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
