"""Task timescales: the modulation cutoff at which half of what a layer knows of a task is gone."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from probe_bench.reports.canvas import Sheet, new_sheet, write_title
from probe_bench.reports.curves import legend_entries, looks_here
from probe_bench.reports.layer_axis import axis_height_in
from probe_bench.reports.layers import in_words
from probe_bench.reports.metrics import Score, metric_text
from probe_bench.reports.modulation import describe_by_layer, draw_by_layer, hz_axis
from probe_bench.reports.style import CHANCE
from probe_bench.reports.tables import Panel, best, headline_panels, mixed, subjects

__all__ = ["half_rate_curves", "half_rate_lines"]

HALF_RATE = "half_rate_hz"
THIN = "\u202f"


def half_rate_curves(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw the half rate against layer, one panel a task and corpus; None if there is nothing."""
    drawn = [(panel, rows) for panel, rows in _panels(table) if rows["value"].notna().any()]
    if not drawn:
        return None
    legend = [entry for entry in legend_entries(table) if entry.look != CHANCE]
    room_in = axis_height_in(table, [rows for _, rows in drawn])
    sheet = new_sheet(name, len(drawn), legend, bottom_in=room_in)
    for (panel, rows), cell in zip(drawn, sheet.cells, strict=True):
        draw_by_layer(cell.axes, rows, table)
        cell.axes.set_ylabel("half rate (Hz)")
        title = f"{panel.task} · {panel.corpus}"
        write_title(cell.axes, title)
        sheet.alts.append((title, describe_by_layer(rows, list(looks_here(table, rows)))))
    _align(sheet)
    return sheet


def _align(sheet: Sheet) -> None:
    """Give all panels one range: tasks are compared by their heights."""
    ranges = [cell.axes.get_ylim() for cell in sheet.cells]
    for cell in sheet.cells:
        cell.axes.set_ylim(min(low for low, _ in ranges), max(high for _, high in ranges))
        hz_axis(cell.axes, "y")


def half_rate_lines(table: pd.DataFrame) -> list[str]:
    """Say for every task and encoder under test how fast what its picked layer uses may change."""
    measured = list(_panels(table))
    tasks = [panel.task for panel, _ in measured]
    return [
        f"{_named(panel, tasks)}: {_sentence(panel, name, *found)}"
        for panel, rows in measured
        for name in subjects(rows)
        for found in (best(rows, name),)
        if found is not None
    ]


def _panels(table: pd.DataFrame) -> Iterator[tuple[Panel, pd.DataFrame]]:
    """Half rates of the headline score of every task, as if they were what the task measured."""
    for panel in headline_panels(table):
        rows = table[
            (table["task"] == panel.task)
            & (table["corpus"] == panel.corpus)
            & (table["probe"] == panel.probe)
            & (table["metric"] == f"{HALF_RATE}:{panel.metric}")
        ]
        if subjects(rows):
            yield panel, rows.assign(split="test")


def _named(panel: Panel, tasks: Sequence[str]) -> str:
    """Name a task, with its corpus where it was measured on several."""
    return f"{panel.task} on {panel.corpus}" if tasks.count(panel.task) > 1 else panel.task


def _sentence(panel: Panel, name: str, layer: str, score: Score, row: "pd.Series[Any]") -> str:
    text = metric_text(f"{HALF_RATE}:{panel.metric}")
    where = "the layers that the folds picked" if mixed(str(row["setting"])) else in_words(layer)
    knows = f"what {name} knows{f' at {where}' if where else ''}"
    if not score.measured:
        return f"{knows} cannot be told from chance."
    rate = f"{text.number(score).lstrip('<> ')}{THIN}Hz"
    if score.below:
        return f"more than half of {knows} is left when modulations above {rate} are removed."
    if score.censored:
        return f"half of {knows} is gone as soon as modulations above {rate} are removed."
    reach = f" {text.reach(score)}".rstrip()
    return f"half of {knows} is gone when modulations above {rate}{reach} are removed."
