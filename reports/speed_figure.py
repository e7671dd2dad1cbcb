"""The figure of the section on speed: the support cutoff of every layer, and controls of known cutoff."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from probe_bench.reports.canvas import Cell, Entry, Sheet, line_style, new_sheet, write_title
from probe_bench.reports.controls import CONTROL_ENTRIES, control_readings, draw_controls
from probe_bench.reports.curves import legend_entries, looks_here
from probe_bench.reports.layer_axis import axis_height_in
from probe_bench.reports.modulation import (
    HALF_POWER,
    NYQUIST,
    describe_by_layer,
    draw_by_layer,
    hz_axis,
)
from probe_bench.reports.style import CHANCE, Look
from probe_bench.reports.tables import ANALYSIS, SPEED, corpora, subjects

__all__ = ["cutoff_curves"]

MASKS = Look(colour=NYQUIST.colour, marker="<", width=0.0, size=5.0)


def cutoff_curves(
    table: pd.DataFrame, name: str, hidden_ms: Mapping[str, float] | None = None
) -> Sheet | None:
    """Draw the support cutoff against layer, one panel a corpus, and its controls; None if there is nothing.

    Args:
        table: Rows with display names.
        name: Of the figure.
        hidden_ms: Mean length of the stretches that an encoder's masks hid, where it is known.
    """
    rows = table[(table["task"] == ANALYSIS) & (table["metric"] == SPEED)]
    places = [corpus for corpus in corpora(rows) if subjects(rows[rows["corpus"] == corpus])]
    if not places:
        return None
    readings = control_readings(table[table["task"] == ANALYSIS])
    hidden_ms = hidden_ms or {}
    parts = {corpus: rows[rows["corpus"] == corpus] for corpus in places}
    checked = {corpus: readings[readings["corpus"] == corpus] for corpus in places}
    sheet = new_sheet(
        name,
        len(places) + sum(not known.empty for known in checked.values()),
        _legend(table, hidden_ms, controls=any(not known.empty for known in checked.values())),
        bottom_in=axis_height_in(table, list(parts.values())),
    )
    cells = iter(sheet.cells)
    for corpus in places:
        sheet.alts.append(_draw_cutoffs(next(cells), corpus, parts[corpus], table, hidden_ms))
        if not checked[corpus].empty:
            sheet.alts.append(draw_controls(next(cells).axes, checked[corpus], corpus))
    return sheet


def _legend(table: pd.DataFrame, hidden_ms: Mapping[str, float], *, controls: bool) -> list[Entry]:
    entries = [entry for entry in legend_entries(table) if entry.look != CHANCE]
    entries.append(Entry(label="half the frame rate", look=NYQUIST))
    if hidden_ms:
        entries.append(Entry(label="1 / (2 T) of its masks", look=MASKS))
    return entries + (CONTROL_ENTRIES if controls else [])


def _draw_cutoffs(
    cell: Cell,
    corpus: str,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    hidden_ms: Mapping[str, float],
) -> tuple[str, str]:
    axes, looks = cell.axes, looks_here(table, rows)
    _draw_nyquist(axes, rows)
    draw_by_layer(axes, rows, table)
    spans = {name: 500 / ms for name, ms in hidden_ms.items() if name in looks}
    _draw_masks(axes, spans, looks)
    axes.set_ylabel(f"support cutoff, {HALF_POWER} (Hz)")
    title = f"support cutoff · {corpus}"
    write_title(axes, title)
    said = [f" 1 / (2 T) of the masks of {name}: {hz:.3g} Hz." for name, hz in spans.items()]
    return title, describe_by_layer(rows, list(looks)) + "".join(said)


def _draw_nyquist(axes: Axes, rows: pd.DataFrame) -> None:
    """Half the frame rate, beyond which a single frame per period is not even left."""
    rates_hz = rows.loc[rows["role"] == "subject", "frame_rate_hz"].dropna().unique()
    for rate_hz in sorted(rates_hz):
        axes.axhline(float(rate_hz) / 2, **line_style(NYQUIST))


def _draw_masks(axes: Axes, spans: Mapping[str, float], looks: Mapping[str, Look]) -> None:
    """Mark at the right edge where a low-pass as long as the hidden stretches would lie."""
    low, high = axes.get_ylim()
    axes.set_ylim(min([low, *(hz / 1.3 for hz in spans.values())]), high)
    hz_axis(axes, "y")
    for name, hz in spans.items():
        style = line_style(MASKS) | {"color": looks[name].colour}
        style |= {"markerfacecolor": looks[name].colour, "markeredgecolor": looks[name].colour}
        axes.plot([1.015], [hz], transform=axes.get_yaxis_transform(), clip_on=False, **style)
