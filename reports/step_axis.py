"""The horizontal axis of everything over training: steps, under a strip that names the verdicts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from probe_bench.reports.style import INK, Look

__all__ = ["HEALTHY", "draw_steps", "draw_verdicts", "kind_name", "log_ticks", "verdict_looks"]

HEALTHY = "healthy"
KINDS = {
    HEALTHY: "#b9d8c6",
    "dimensional": "#e69f00",
    "over-time": "#cc79a7",
    "constant": "#d55e00",
    "stem": "#8c6d46",
}
LOG_SPAN = 1e5
STRIP = 0.04
"""Height of the strip, which lies on top of the panel, as a share of the panel."""


def kind_name(kind: str) -> str:
    """Write a verdict out."""
    return kind if kind == HEALTHY else f"{kind} collapse"


def verdict_looks(verdicts: Sequence[str]) -> dict[str, Look]:
    """Give every verdict that occurs its colour; unknown ones are drawn in ink."""
    known = [kind for kind in KINDS if kind in verdicts]
    others = [kind for kind in dict.fromkeys(verdicts) if kind not in KINDS]
    return {kind: Look(colour=KINDS.get(kind, INK), width=5.0) for kind in (*known, *others)}


def draw_verdicts(axes: Axes, steps: pd.Series, verdicts: pd.Series) -> None:
    """Draw a strip of verdicts on top of a panel; a collapse shades the panel as well.

    A verdict is about the steps since the one before.
    """
    starts = np.r_[0, steps.to_numpy()[:-1]]
    runs = (verdicts != verdicts.shift()).cumsum()
    for _, run in verdicts.groupby(runs):
        first, last = run.index[0], run.index[-1]
        colour = KINDS.get(str(run.iloc[0]), INK)
        ends = (float(starts[first]), float(steps.iloc[last]))
        strip = {"ymin": 1.0, "ymax": 1 + STRIP, "clip_on": False}
        axes.axvspan(*ends, **strip, color=colour, linewidth=0)
        if run.iloc[0] != HEALTHY:
            axes.axvspan(*ends, color=colour, alpha=0.12, linewidth=0, zorder=0)


def draw_steps(axes: Axes, steps: pd.Series) -> None:
    """Label the axis from the start of training to its last step."""
    axes.set_xlim(0, float(steps.max()))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.set_xlabel("step")


def log_ticks(axes: Axes) -> None:
    """Plain numbers on a logarithmic vertical axis, more of them where it is short."""
    low, high = axes.get_ylim()
    low = max(low, high / LOG_SPAN)  # a learning rate ends at nothing
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:g}"))
