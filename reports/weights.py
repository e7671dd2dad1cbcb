"""How a softmax-weighted sum of layers weighs them."""

import pandas as pd

from probe_bench.reports.canvas import Cell, Entry, Sheet, line_style, new_sheet, write_title
from probe_bench.reports.curves import drawn_series, legend_entries, looks_here, name_axis
from probe_bench.reports.layer_axis import axis_height_in, draw_layer_axis
from probe_bench.reports.metrics import metric_text
from probe_bench.reports.style import CHANCE
from probe_bench.reports.tables import WEIGHT, layer_rows

__all__ = ["weight_curves"]


def weight_curves(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw weight against layer, one panel a task and corpus; None if there is nothing.

    Args:
        table: Rows with display names.
        name: File name of the sheet.
    """
    # A weight is read off the trained sum, so its part is train; nothing is scored on it.
    weights = table[(table["metric"] == WEIGHT) & (table["role"] != "logmel")].assign(split="")
    groups = list(weights.groupby(["task", "corpus"], sort=False))
    shown = [(task, corpus, rows) for (task, corpus), rows in groups if looks_here(table, rows)]
    if not shown:
        return None
    legend = [
        e for e in legend_entries(table) if e.look.marker
    ]  # log-mel has one layer, chance none
    legend.append(Entry(label="equal weights", look=CHANCE))
    room_in = axis_height_in(table, [rows for _, _, rows in shown])
    sheet = new_sheet(name, len(shown), legend, bottom_in=room_in)
    for (task, corpus, rows), cell in zip(shown, sheet.cells, strict=True):
        title = f"{task} · {corpus}"
        write_title(cell.axes, title)
        sheet.alts.append((title, _draw(cell, table, rows)))
    return sheet


def _draw(cell: Cell, table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Fill one panel and say in words what is in it."""
    axes, text, shown, told = cell.axes, metric_text(WEIGHT), looks_here(table, rows), []
    for series in drawn_series(table, rows):
        mine = layer_rows(rows, series.name)
        axes.plot(mine["place"], mine["value"] * text.scale, **line_style(series.look))
        if series.role == "subject":
            top = mine.iloc[int(mine["value"].argmax())]
            share = f"{top['value']:.0%} of {len(mine)} layers"
            told.append(f"{series.name}: most on {top['layer']} ({share})")
    for level in sorted({1 / len(layer_rows(rows, name)) for name in shown}):
        axes.axhline(level * text.scale, **line_style(CHANCE))
    draw_layer_axis(axes, rows, shown)
    axes.set_ylim(0, 1.08 * axes.dataLim.y1)
    name_axis(axes, text)
    return "Weight of each layer in the sum. " + "; ".join(told) + "."
