"""Controls of known answer: what the modulation analysis reads of filters, and of shuffled clips."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from probe_bench.reports.canvas import Entry, line_style, write_title
from probe_bench.reports.metrics import signed
from probe_bench.reports.modulation import hz_axis
from probe_bench.reports.style import INK, LOGMEL, Look
from probe_bench.reports.tables import ANALYSIS, SPEED, corpora

__all__ = ["CONTROL_ENTRIES", "calibration_lines", "control_readings", "draw_controls"]

MEANPOOL_HZ_MS = 443.0
"""Half power of a mean over T ms lies at 443 / T Hz."""

LOOKS: Mapping[str, Look] = {
    "support_total_hz": Look(colour=INK, marker="o", width=0.0),
    "emphasis_total_hz": Look(colour="#9a6fb0", marker="D", width=0.0, hollow=True),
}
TRUTH = Look(colour=LOGMEL.colour, width=0.9)
CONTROL_ENTRIES = [
    Entry(label=f"control, {metric.split('_')[0]}", look=look) for metric, look in LOOKS.items()
]
RATIOS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)
LEAST_RANGE = (0.78, 1.35)
SHUFFLED = "shuffled:"


def control_readings(rows: pd.DataFrame) -> pd.DataFrame:
    """Readings of filters whose cutoff is known, with the columns `truth_hz` and, over it, `ratio`, `low`, `high`."""
    mine = rows[(rows["role"] == "control") & rows["metric"].isin(LOOKS)]
    truth_hz = mine["encoder"].map(_truth_hz).astype(float)
    mine = mine.assign(truth_hz=truth_hz).dropna(subset=["truth_hz", "value"])
    over = {"ratio": "value", "low": "ci_low", "high": "ci_high"}
    return mine.assign(**{name: mine[column] / mine["truth_hz"] for name, column in over.items()})


def _truth_hz(name: str) -> float:
    """Cutoff of a control by its name; NaN if it is not known.

    >>> _truth_hz("lowpass:8")
    8.0
    """
    kind, _, argument = name.partition(":")
    if kind == "lowpass":
        return float(argument)
    return MEANPOOL_HZ_MS / float(argument) if kind == "meanpool" else np.nan


def draw_controls(axes: Axes, readings: pd.DataFrame, corpus: str) -> tuple[str, str]:
    """Draw readings over the truth against the truth; each bar should meet the line at 1."""
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.axhline(1.0, **line_style(TRUTH))
    for (metric, look), shift in zip(LOOKS.items(), (0.98, 1.02), strict=True):
        mine = readings[readings["metric"] == metric]
        places = mine["truth_hz"] * shift
        axes.vlines(places, mine["low"], mine["high"], color=look.colour, linewidth=1)
        axes.plot(places, mine["ratio"], **line_style(look))
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, LEAST_RANGE[0]), max(high, LEAST_RANGE[1]))
    axes.yaxis.set_major_locator(FixedLocator(RATIOS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    axes.margins(x=0.08)
    hz_axis(axes, "x")
    axes.set_xlabel("true cutoff (Hz)")
    axes.set_ylabel("read / true")
    title = f"controls of known cutoff · {corpus}"
    write_title(axes, title)
    said = [f"{row['encoder']} {row['ratio']:.2f}" for _, row in readings.iterrows()]
    return title, f"Cutoff read over true cutoff: {', '.join(said)}."


def calibration_lines(table: pd.DataFrame) -> list[str]:
    """Say for every corpus how far controls of known cutoff are off, and whether shuffled clips read nothing."""
    rows = table[(table["task"] == ANALYSIS) & (table["role"] == "control")]
    places = corpora(rows)
    said = []
    for place in places:
        here = rows[rows["corpus"] == place]
        parts = [
            *_known(control_readings(here)),
            *_null(here[here["encoder"].str.startswith(SHUFFLED)]),
        ]
        where = f"on {place}" if len(places) > 1 else "on this sound"
        said += [f"Calibration {where}: {'; '.join(parts)}."] if parts else []
    return said


def _known(readings: pd.DataFrame) -> list[str]:
    mine = readings[readings["metric"] == "support_total_hz"]
    if mine.empty:
        return []
    ends = mine["truth_hz"].min(), mine["truth_hz"].max()
    off = max(100 * (mine["ratio"] - 1).abs().max(), 1)
    missed = mine.loc[(mine["low"] > 1) | (mine["high"] < 1), "encoder"]
    told = (
        f"{mine['encoder'].nunique()} filters of known cutoff, {ends[0]:.2g} to {ends[1]:.2g}\u202fHz, "
        f"read within {off:.0f}\u202f% of it"
    )
    return [told + (f", {', '.join(missed)} outside the interval" if len(missed) else "")]


def _null(rows: pd.DataFrame) -> list[str]:
    """What is read of clips whose sound is another's."""
    cutoffs = rows[rows["metric"] == SPEED]
    if cutoffs.empty:
        return []
    read = cutoffs.loc[cutoffs["value"].notna(), "name"]
    if len(read):
        return [
            f"{', '.join(read)} can be measured, so distrust all of this: nothing should be left"
        ]
    r2 = rows.loc[rows["metric"] == "support_r2", "value"].max()
    best = signed(f", R² at most {r2:.2f}") if np.isfinite(r2) else ""
    return [f"clips shuffled against the sound are not measurable, as it must be{best}"]
