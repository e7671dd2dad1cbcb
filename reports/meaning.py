"""What the scores mean: bits and selectivity by layer, learning curves, matched dimension, location."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from probe_bench.reports.canvas import Cell, Sheet, line_style, new_sheet, write_title
from probe_bench.reports.curves import (
    draw_line,
    drawn_series,
    legend_entries,
    looks_here,
    name_axis,
    numbers_of,
)
from probe_bench.reports.figures import task_curves
from probe_bench.reports.metrics import CODED, LOCATED, MetricText, metric_text, thousands
from probe_bench.reports.settings import setting_number
from probe_bench.reports.style import CHANCE, FEW, GRID, NOTE_PT, PAPER, Look
from probe_bench.reports.tables import (
    Panel,
    distinct_panels,
    score_of,
    subjects,
    twin_name,
)

__all__ = ["MEANING", "meaning_sheets"]

MEANING = ("information", "code", "selectivity", "learning", "matched", "location")
"""Roles of the sheets in the page."""

_LAYER_METRICS = {
    "information": "v_information_bits",
    "code": "code_length_bits",
    "selectivity": "selectivity",
}
_LOCATED = {
    "depth_peak": "best layer",
    "depth_gravity": "centre of gravity",
    "depth_expected": "expected depth of the gains",
}


def meaning_sheets(table: pd.DataFrame, tests: pd.DataFrame | None) -> dict[str, Sheet | None]:
    """Draw everything that the diagnostics give, by its role in the page; None where there is nothing.

    Args:
        table: Rows with display names.
        tests: Paired tests, which say what layers cannot be told from the picked one.
    """
    return {
        **_layer_sheets(table, tests),
        "learning": _curves_by_size(table, "n_train", "labelled units in train", "learning_curves"),
        "matched": _curves_by_size(
            table, "pca_dim", "principal components", "score_at_matched_dimension"
        ),
        "location": _location(table, "location_in_depth"),
    }


def _layer_sheets(table: pd.DataFrame, tests: pd.DataFrame | None) -> dict[str, Sheet | None]:
    """Draw bits and selectivity against layer, a sheet each, one panel a task."""
    # The code is of training labels, yet no score that was fitted to: it is shown like any other.
    table = table[table["role"] != "chance"]
    open_rows = table.assign(split=table["split"].where(~table["metric"].isin(CODED), "code"))
    return {
        role: task_curves(
            open_rows,
            [panel for panel in distinct_panels(open_rows) if panel.metric == metric],
            f"{metric}_by_layer",
            tests=tests,
        )
        for role, metric in _LAYER_METRICS.items()
    }


def _curves_by_size(table: pd.DataFrame, key: str, label: str, name: str) -> Sheet | None:
    """Draw the score of the picked layer against a size, one panel a task.

    Args:
        table: Rows with display names.
        key: Which size: `n_train` (learning curves) or `pca_dim` (matched dimension).
        label: Of the horizontal axis.
        name: File name of the sheet.
    """
    suffix = {"n_train": "_at_fraction", "pca_dim": "_at_dim"}[key]
    panels = [p for p in distinct_panels(table) if p.metric.endswith(suffix)]
    panels = [panel for panel in panels if subjects(panel.of(table))]
    if not panels:
        return None
    entries = [entry for entry in legend_entries(table) if entry.look != CHANCE]
    sheet = new_sheet(name, len(panels), entries)
    for panel, cell in zip(panels, sheet.cells, strict=True):
        title = f"{panel.task} · {panel.corpus}"
        write_title(cell.axes, title)
        sheet.alts.append((title, _draw_curves(cell, panel.of(table), table, panel, key, label)))
    return sheet


def _draw_curves(
    cell: Cell, rows: pd.DataFrame, table: pd.DataFrame, panel: Panel, key: str, label: str
) -> str:
    """Fill one panel and say in words what is in it."""
    axes, text, said = cell.axes, metric_text(panel.metric), []
    for series in drawn_series(table, rows):
        curve = _picked_curve(rows, series.name, key)
        if curve.empty:
            continue
        draw_line(axes, curve[key], numbers_of(curve, text), series.look, band=series.band)
        ends = [f"{text.full(score_of(row))} at {row[key]:g}" for _, row in curve.iterrows()]
        said.append(f"{series.name} at {curve['layer'].iloc[0]}: from {ends[0]} to {ends[-1]}")
    _finish_sizes(axes, rows, key, label, text)
    return f"{text.axis} by {label}. " + "; ".join(said) + "."


def _picked_curve(rows: pd.DataFrame, name: str, key: str) -> pd.DataFrame:
    """Points of the picked layer of one encoder, in rising order of the size."""
    mine = rows[(rows["name"] == name) & rows["chosen"]]
    sizes = mine["setting"].map(lambda text: setting_number(text, key))
    return mine.assign(**{key: sizes.astype(float)}).dropna(subset=["value", key]).sort_values(key)


def _finish_sizes(axes: Axes, rows: pd.DataFrame, key: str, label: str, text: MetricText) -> None:
    axes.set_xscale("log", base=2)
    sizes = sorted({setting_number(setting, key) for setting in rows["setting"]} - {np.nan})
    sizes = [size for size in sizes if np.isfinite(size)]
    axes.set_xticks(_apart(sizes))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: thousands(round(size))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)
    name_axis(axes, text)


def _apart(sizes: Sequence[float], factor: float = 1.6) -> list[float]:
    """Keep the largest size and those that stand far enough below the last one kept."""
    kept: list[float] = []
    for size in sorted(sizes, reverse=True):
        if not kept or kept[-1] / size >= factor:
            kept.append(size)
    return kept[::-1]


def _location(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw where in depth every task lives: a dot and its interval an encoder, one panel a statistic."""
    rows = table[table["metric"].isin(LOCATED) & (table["role"] != "logmel")]
    if not subjects(rows):
        return None
    places = rows[["task", "corpus"]].drop_duplicates().itertuples(index=False, name=None)
    order = {place: index for index, place in enumerate(places)}
    entries = [e for e in legend_entries(rows) if e.look != CHANCE]
    sheet = new_sheet(name, len(_LOCATED), entries)
    for (metric, title), cell in zip(_LOCATED.items(), sheet.cells, strict=True):
        write_title(cell.axes, title)
        said = _draw_locations(cell.axes, rows[rows["metric"] == metric], table, order)
        sheet.alts.append((title, said))
    return sheet


def _draw_locations(
    axes: Axes, rows: pd.DataFrame, table: pd.DataFrame, order: Mapping[tuple[str, str], int]
) -> str:
    few = len(subjects(table)) <= FEW
    series = [
        each
        for name, look in looks_here(table, rows).items()
        for each in ((name, look), (twin_name(rows, name) if few else None, look.twin))
        if each[0] is not None
    ]
    said = []
    for index, (name, look) in enumerate(series):
        shift = 0.1 + (index - (len(series) - 1) / 2) * 0.6 / max(len(series), 2)
        for _, row in rows[rows["name"] == name].iterrows():
            height = order[row["task"], row["corpus"]] + shift
            said.append(f"{name}, {row['task']}: {metric_text(row['metric']).full(score_of(row))}")
            _draw_location(axes, row, height, look)
    _finish_locations(axes, order)
    return ". ".join(said) + "."


def _finish_locations(axes: Axes, order: Mapping[tuple[str, str], int]) -> None:
    """Name the tasks inside their bands, where names of any length have room."""
    axes.set_xlim(-0.035, 1.035)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 input", "¼", "½", "¾", "1 last"])
    axes.set_xlabel("relative depth of the layer")
    axes.grid(visible=True, axis="x")
    several = len({task for task, _ in order}) < len(order)
    for (task, corpus), place in order.items():
        axes.annotate(
            f"{task} · {corpus}" if several else task,
            (0, place - 0.5),
            xycoords=axes.get_yaxis_transform(),
            xytext=(3, -2),
            textcoords="offset points",
            va="top",
            fontsize=NOTE_PT,
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 0.5},
        )
        if place:
            axes.axhline(place - 0.5, color=GRID, linewidth=0.6)


def _draw_location(axes: Axes, row: pd.Series, height: float, look: Look) -> None:
    """Draw one dot with its interval; where a curve has no location, a cross in the margin."""
    score = score_of(row)
    if not score.measured:
        axes.plot([1.02], [height], "x", color=look.colour, markersize=3.5, clip_on=False)
        return
    axes.hlines(height, score.low, score.high, color=look.colour, linewidth=look.width * 0.8)
    axes.plot([score.value], [height], **{**line_style(look), "linestyle": ""})
