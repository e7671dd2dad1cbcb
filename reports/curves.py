"""What every panel of curves shares: who is drawn and how, intervals, the level of chance, axes."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from probe_bench.reports.canvas import Entry, line_style
from probe_bench.reports.metrics import MetricText, Score
from probe_bench.reports.style import CHANCE, FEW, LOGMEL, NOTE_PT, TWINS, Look, looks
from probe_bench.reports.tables import layer_rows, subjects, twin_name

__all__ = [
    "Series",
    "draw_chance",
    "draw_line",
    "drawn_series",
    "legend_entries",
    "logmel_names",
    "looks_here",
    "name_axis",
    "numbers_of",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line of a panel.

    Attributes:
        name: Encoder or baseline as displayed.
        role: What it is.
        look: How it is drawn.
        band: Whether its intervals are drawn.
    """

    name: str
    role: str
    look: Look
    band: bool


def drawn_series(table: pd.DataFrame, rows: pd.DataFrame) -> Iterator[Series]:
    """Yield everything that one panel draws, from the back to the front: baselines, then encoders.

    Args:
        table: All rows, which say how many encoders there are and what each looks like.
        rows: Rows of the panel.
    """
    few, shown = len(subjects(table)) <= FEW, looks_here(table, rows)
    for name in logmel_names(rows):
        yield Series(name=name, role="logmel", look=_logmel_look(rows, name, shown), band=False)
    for name, look in shown.items():
        twin = twin_name(rows, name)
        if twin is not None:
            thin = look.twin if few else TWINS
            yield Series(name=twin, role="random", look=thin, band=False)
    for name, look in shown.items():
        yield Series(name=name, role="subject", look=look, band=few)


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


def _logmel_look(rows: pd.DataFrame, name: str, shown: Mapping[str, Look]) -> Look:
    """Give log-mel the colour of the only encoder of its frame rate, if there are several log-mels."""
    rate_hz = layer_rows(rows, name)["frame_rate_hz"].max()
    owners = [
        look
        for own, look in shown.items()
        if layer_rows(rows, own)["frame_rate_hz"].max() == rate_hz
    ]
    several = len(logmel_names(rows)) > 1
    return replace(LOGMEL, colour=owners[0].colour) if several and len(owners) == 1 else LOGMEL


def numbers_of(rows: pd.DataFrame, text: MetricText) -> Float[np.ndarray, "points 3"]:
    """Value and both ends of its interval in the unit of the axis, a row each."""
    numbers: Float[np.ndarray, "points 3"] = (
        rows[["value", "ci_low", "ci_high"]].to_numpy(float) * text.scale
    )
    return numbers


def draw_line(
    axes: Axes,
    places: pd.Series | np.ndarray,
    numbers: Float[np.ndarray, "points 3"],
    look: Look,
    *,
    band: bool,
) -> None:
    """Draw a line and, with `band`, the intervals around it."""
    if band:
        low, high = numbers[:, 1], numbers[:, 2]
        axes.fill_between(places, low, high, color=look.colour, alpha=0.13, linewidth=0)
        for edge in (low, high):
            axes.plot(places, edge, color=look.colour, alpha=0.5, linewidth=0.5)
    axes.plot(places, numbers[:, 0], **line_style(look))


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
    room = 0.1 * (high - low)
    axes.set_ylim(low - room if below else low, high if below else high + room)
    axes.annotate(
        f"{'↓' if below else '↑'} chance {text.full(replace(chance, low=math.nan, high=math.nan))}",
        (1, 0 if below else 1),
        xycoords="axes fraction",
        xytext=(0, 2 if below else -2),
        textcoords="offset points",
        ha="right",
        va="bottom" if below else "top",
        fontsize=NOTE_PT,
    )


def name_axis(axes: Axes, text: MetricText) -> None:
    """Name the vertical axis of a metric, with at most six round numbers."""
    axes.set_ylabel(text.axis)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
