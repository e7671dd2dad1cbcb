"""Figure of the data sheet: relative error of every reading, family by family."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from sheet_lines import Line

from probe_bench.reports.style import GRID, INK, house_style

__all__ = ["draw"]

_STATED = 6.0
_LINEAR = 6.0  # per cent up to which the axis is linear
_TICKS = (-60, -30, -15, -6, -3, 0, 3, 6, 15, 30)


def draw(lines: Sequence[Line], path: Path) -> None:
    """Draw readings of support and emphasis side by side."""
    finite = [line for line in lines if math.isfinite(line.true_hz)]
    families = list(dict.fromkeys(line.family for line in finite))
    norm = LogNorm(1, 20)
    with house_style():
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, kind in ((left, "support"), (right, "emphasis")):
            _panel(axes, [line for line in finite if line.kind == kind], families, norm)
            axes.set_title(f"{kind}_hz")
        left.set_yticks(range(len(families)), families)
        left.set_ylim(len(families) - 0.5, -0.5)
        bar = figure.colorbar(
            mpl.cm.ScalarMappable(norm, "viridis"), ax=[left, right], pad=0.01, aspect=40
        )
        bar.set_label("true cutoff (Hz)")
        bar.set_ticks([1, 2, 4, 8, 12, 16, 20], labels=["1", "2", "4", "8", "12", "16", "20"])
        bar.minorticks_off()
        figure.savefig(path, dpi=200, metadata={"Software": None})


def _panel(axes: Axes, lines: Sequence[Line], families: Sequence[str], norm: LogNorm) -> None:
    axes.axvspan(-_STATED, _STATED, color=GRID, alpha=0.6, lw=0)
    axes.axvline(0, color=INK, lw=0.6)
    read = [line for line in lines if not math.isnan(line.error)]
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(read))
    axes.scatter(
        [100 * line.error for line in read],
        [families.index(line.family) for line in read] + jitter,
        c=[line.true_hz for line in read],
        norm=norm,
        cmap="viridis",
        s=5,
        alpha=0.75,
        lw=0,
        clip_on=False,
    )
    for i, family in enumerate(families):
        _untold(axes, i, [line for line in lines if line.family == family])
    axes.set_xscale("symlog", linthresh=_LINEAR, linscale=0.75)
    axes.set_xlim(-80, 40)
    axes.set_xticks(_TICKS, labels=[f"{tick:g}" for tick in _TICKS])
    axes.minorticks_off()
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("error of the reading (%)")


def _untold(axes: Axes, row: int, lines: Sequence[Line]) -> None:
    """Count what has no reading, beyond the right edge."""
    names = {"refused": "refused", "beyond": "“beyond”", "below": "“at most”"}
    counts = {name: sum(line.outcome == what for line in lines) for what, name in names.items()}
    said = "\n".join(f"{n} {name}" for name, n in counts.items() if n)
    axes.text(
        1.01, row, said, fontsize=5.5, va="center", color=INK, transform=axes.get_yaxis_transform()
    )
