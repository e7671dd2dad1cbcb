"""How a softmax-weighted sum of layers weighs them."""

import pandas as pd
from matplotlib.ticker import MaxNLocator

from probe_bench.reports.canvas import Cell, Entry, Sheet, line_style, new_sheet
from probe_bench.reports.figures import legend_entries, looks_here
from probe_bench.reports.layer_axis import draw_layer_axis
from probe_bench.reports.metrics import metric_text
from probe_bench.reports.style import CHANCE, FEW, Look
from probe_bench.reports.tables import WEIGHT, layer_rows, twin_name

__all__ = ["weight_curves"]


def weight_curves(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw weight against layer, one panel a task and corpus; None if there is nothing.

    Args:
        table: Rows with display names.
        name: File name of the sheet.
    """
    # A weight is read off the trained sum, so its part is train; nothing is scored on it.
    weights = table[table["metric"] == WEIGHT].assign(split="")
    groups = list(weights.groupby(["task", "corpus"], sort=False))
    shown = [(task, corpus, rows) for (task, corpus), rows in groups if looks_here(table, rows)]
    if not shown:
        return None
    legend = [
        e for e in legend_entries(table) if e.look.marker
    ]  # log-mel has one layer, chance none
    legend.append(Entry(label="equal weights", look=CHANCE))
    sheet = new_sheet(name, len(shown), legend)
    for (task, corpus, rows), cell in zip(shown, sheet.cells, strict=True):
        title = f"{task} · {corpus}"
        cell.axes.set_title(title)
        sheet.alts.append((title, _draw(cell, table, rows)))
    return sheet


def _draw(cell: Cell, table: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Fill one panel and say in words what is in it."""
    looks, told = looks_here(table, rows), []
    for name, look in looks.items():
        twin = twin_name(rows, name)
        if twin is not None and len(looks) <= FEW:
            _draw_weights(cell, rows, twin, look.twin)
        mine = _draw_weights(cell, rows, name, look)
        top = mine.iloc[int(mine["value"].argmax())]
        told.append(f"{name}: most on {top['layer']} ({top['value']:.0%} of {len(mine)} layers)")
    for level in sorted({1 / len(layer_rows(rows, name)) for name in looks}):
        cell.axes.axhline(level * metric_text(WEIGHT).scale, **line_style(CHANCE))
    draw_layer_axis(cell.axes, rows, looks)
    cell.axes.set_ylim(0, 1.08 * cell.axes.dataLim.y1)
    cell.axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    cell.axes.set_ylabel(metric_text(WEIGHT).axis)
    return "Weight of each layer in the sum. " + "; ".join(told) + "."


def _draw_weights(cell: Cell, rows: pd.DataFrame, name: str, look: Look) -> pd.DataFrame:
    mine = layer_rows(rows, name)
    percent = mine["value"] * metric_text(WEIGHT).scale
    cell.axes.plot(mine["depth"].astype(float), percent, **line_style(look))
    return mine
