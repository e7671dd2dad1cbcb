"""Scores of clean probes on degraded audio: curves over severity, and the areas under them.

Low-passed modulations are degraded audio too, but say how fast a task is and not how robust it is read:
their curves are drawn apart and their areas are not told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from probe_bench.reports.canvas import Cell, Sheet, new_sheet, write_title
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
from probe_bench.reports.metrics import MetricText, metric_text, signed
from probe_bench.reports.style import GRID
from probe_bench.reports.tables import (
    BEST,
    DEGRADED,
    Panel,
    best,
    chance_score,
    degraded,
    headline_panels,
    score_of,
)
from probe_bench.reports.views import HeadlineGroup, HeadlineLine, headline_groups

__all__ = ["RobustnessGroup", "degradation_curves", "robustness_groups"]

AXES = {
    "snr_db": "signal-to-noise ratio (dB)",
    "t60_s": "reverberation time (s)",
    "range_db": "range of the channel's gain (dB)",
    "cutoff_hz": "cutoff (Hz)",
    "bitrate_kbps": "bit rate (kbit/s)",
    "mod_cutoff_hz": "modulation cutoff (Hz)",
}
_MODULATIONS = "modulations"
_FIRST = 1.5  # place of the mildest severity; clean audio stands at 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustnessGroup:
    """Areas and shares of all encoders on one task under one kind of degradation.

    Attributes:
        kind: Kind of degradation.
        area: Mean scores over the severities, beside those of the baselines.
        shares: What is left of each encoder's clean score above chance, in the order of `area.lines`;
            None where the clean score cannot be told from chance.
        clean: Clean scores as text, in the same order.
    """

    kind: str
    area: HeadlineGroup
    shares: Sequence[HeadlineLine | None]
    clean: Sequence[str]


def degradation_curves(
    table: pd.DataFrame, name: str, *, modulations: bool = False
) -> Sheet | None:
    """Draw score against severity, one panel a task, corpus and kind; None if there is nothing.

    Args:
        table: Rows with display names.
        name: File name of the sheet.
        modulations: Of low-passed modulations, otherwise of all other kinds.
    """
    drawn = [
        (panel, kind)
        for panel in headline_panels(table)
        for kind in _kinds(panel.of(table))
        if (kind == _MODULATIONS) == modulations
    ]
    if not drawn:
        return None
    sheet = new_sheet(name, len(drawn), legend_entries(table))
    for (panel, kind), cell in zip(drawn, sheet.cells, strict=True):
        title = f"{panel.task} · {panel.corpus} · {kind}"
        write_title(cell.axes, title)
        sheet.alts.append((title, _draw(cell, panel, kind, table)))
    return sheet


def robustness_groups(
    table: pd.DataFrame, tests: pd.DataFrame | None = None
) -> list[RobustnessGroup]:
    """Areas under the degradation curves at the picked layers, task by task and kind by kind."""
    found = []
    for panel in headline_panels(table):
        rows = panel.of(table)
        for kind in _kinds(rows):
            if kind == _MODULATIONS:
                continue
            shares = headline_groups(_summary(table, panel, kind, "share"), tests)
            by_name = {line.name: line for group in shares for line in group.lines}
            found += [
                RobustnessGroup(
                    kind=kind,
                    area=area,
                    shares=[by_name.get(line.name) for line in area.lines],
                    clean=[_clean(rows, line.name, panel.metric) for line in area.lines],
                )
                for area in headline_groups(_summary(table, panel, kind, "area"), tests)
            ]
    return found


def _kinds(rows: pd.DataFrame) -> list[str]:
    """Kinds of degradation that encoders under test heard, in the order of the rows."""
    splits = rows.loc[degraded(rows) & (rows["role"] == "subject"), "split"].unique()
    return [str(split).removeprefix(DEGRADED) for split in splits]


def _summary(table: pd.DataFrame, panel: Panel, kind: str, what: str) -> pd.DataFrame:
    """Areas or shares of one panel and kind, as if they were what the task measured."""
    metric = f"robustness_{what}:{kind}:{panel.metric}"
    rows = table[
        (table["task"] == panel.task)
        & (table["corpus"] == panel.corpus)
        & (table["probe"] == panel.probe)
        & (table["metric"] == metric)
    ]
    guesses = table[
        (table["role"] == "chance")
        & (table["task"] == panel.task)
        & (table["corpus"] == panel.corpus)
        & (table["metric"] == panel.metric)
    ]
    if what == "share":
        guesses = guesses.assign(value=0.0, ci_low=np.nan, ci_high=np.nan)
    return pd.concat([rows, guesses.assign(metric=metric)]).assign(split="test")


def _clean(rows: pd.DataFrame, name: str, metric: str) -> str:
    result = best(rows, name)
    return metric_text(metric).number(result[1]) if result else ""


def _points(rows: pd.DataFrame, kind: str, name: str) -> pd.DataFrame:
    """Scores at the picked layer by severity, mild to severe, with the columns `axis` and `severity`."""
    mine = rows[
        (rows["split"] == f"{DEGRADED}{kind}") & (rows["name"] == name) & (rows["layer"] == BEST)
    ]
    last = [setting.rpartition(";")[2].partition("=") for setting in mine["setting"].astype(str)]
    return mine.assign(axis=[name for name, _, _ in last], severity=[value for *_, value in last])


def _names(rows: pd.DataFrame, kind: str) -> list[str]:
    """Encoders that heard this kind."""
    return [str(n) for n in rows.loc[rows["split"] == f"{DEGRADED}{kind}", "name"].unique()]


def _axis(points: pd.DataFrame) -> str:
    axis = str(points["axis"].iloc[0])
    return AXES.get(axis, axis.replace("_", " "))


def _draw(cell: Cell, panel: Panel, kind: str, table: pd.DataFrame) -> str:
    """Fill one panel and say in words what is in it."""
    axes, rows, text = cell.axes, panel.of(table), metric_text(panel.metric)
    for series in drawn_series(table, rows):
        _draw_curve(axes, rows, kind, series, text)
    draw_chance(axes, chance_score(table, panel), text)
    points = _points(rows, kind, _names(rows, kind)[0])
    axes.axvline(_FIRST / 2, color=GRID, linewidth=0.6)
    places = [0.0, *(_FIRST + k for k in range(len(points)))]
    axes.set_xticks(places, ["clean", *map(signed, points["severity"])])
    axes.set_xlim(-0.3, places[-1] + 0.3)
    axes.set_xlabel(f"{_axis(points)}, severe to the right")
    name_axis(axes, text)
    return _describe(rows, kind, list(looks_here(table, rows)), text)


def _draw_curve(
    axes: Axes, rows: pd.DataFrame, kind: str, series: Series, text: MetricText
) -> None:
    """Draw one encoder or baseline from clean to severe."""
    points, clean = _points(rows, kind, series.name), best(rows, series.name)
    if points.empty or clean is None:
        return
    numbers = np.vstack([numbers_of(clean[2].to_frame().T, text), numbers_of(points, text)])
    places = np.array([0.0, *(_FIRST + k for k in range(len(points)))])
    draw_line(axes, places, numbers, series.look, band=series.band)


def _describe(rows: pd.DataFrame, kind: str, names: Sequence[str], text: MetricText) -> str:
    """Put a panel into words."""
    parts = []
    for name in names:
        points, clean = _points(rows, kind, name), best(rows, name)
        if clean is not None and not points.empty:
            severe = points.iloc[-1]
            parts.append(
                f"{name}: {text.full(clean[1])} clean, {text.full(score_of(severe))} at "
                f"{severe['severity']}"
            )
    return f"{text.axis} by severity of {kind}. " + "; ".join(parts) + "."
