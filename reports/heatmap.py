"""Heatmaps: one scale of blue for all of them, with its steps in the legend that the panels share."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap, to_rgb

from probe_bench.reports.canvas import Entry, shorten
from probe_bench.reports.style import COLOURS, INK, NOTE_PT, Look

__all__ = ["PLOT_IN", "draw_heatmap", "name_cells", "scale_entries", "write_cells"]

PLOT_IN = 2.6  # height of a map that is as wide as its cell allows
_LEAST_SHOWN = 5e-3
_PALE = 0.85  # lightest cell whose text is white; on paler ones it is ink
_LETTER_PT = 4.4


def scale_entries(steps: Mapping[str, float]) -> list[Entry]:
    """Legend of the scale: labels with the depth of blue, 0 to 1, that each stands for."""
    return [
        Entry(
            label=label,
            look=Look(colour=COLOURS[0], marker="s", width=0.0, size=6.0, opacity=depth),
        )
        for label, depth in steps.items()
    ]


def draw_heatmap(axes: Axes, depths: Float[np.ndarray, "rows columns"]) -> None:
    """Fill a panel with square cells, the first row on top; what is near 0 shows the page."""
    blues = [(*to_rgb(COLOURS[0]), alpha) for alpha in np.linspace(0, 1, 64)]
    shown = np.ma.masked_less(np.ma.masked_invalid(depths), _LEAST_SHOWN)
    axes.pcolormesh(shown, cmap=ListedColormap(blues), vmin=0, vmax=1)
    axes.set_aspect("equal", anchor="NW")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)


def name_cells(axes: Axes, down: Sequence[str], across: Sequence[str], limit: int) -> None:
    """Name rows and columns, at most `limit` of each; names of columns turn where they would touch."""
    size_pt = min(7.0, 0.8 * _pitch_pt(axes, max(len(down), len(across))))
    _name(axes.yaxis, down, limit, size_pt)
    _name(axes.xaxis, across, limit, size_pt)
    widest_pt = max(len(name) for name in across) * _LETTER_PT * size_pt / 7
    if widest_pt > _pitch_pt(axes, max(len(down), len(across))):
        axes.tick_params(axis="x", labelrotation=90)


def write_cells(axes: Axes, values: Float[np.ndarray, "rows columns"]) -> None:
    """Write the number into every cell, to two digits and without the zero."""
    size_pt = min(NOTE_PT, 60 / max(values.shape))
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(
                column + 0.5, row + 0.5, f"{value:.2f}".replace("0.", ".", 1),
                ha="center", va="center", size=size_pt,
                color="#ffffff" if value > _PALE else INK,
            )  # fmt: skip


def _name(axis: Axis, names: Sequence[str], limit: int, size_pt: float) -> None:
    kept = range(0, len(names), -(-len(names) // limit))
    axis.set_ticks([place + 0.5 for place in kept], [shorten(names[k], 9) for k in kept])
    axis.set_tick_params(labelsize=size_pt)


def _pitch_pt(axes: Axes, count: int) -> float:
    """Size of a cell of a square map."""
    figure = axes.get_figure(root=True)
    height_in = figure.get_figheight() if figure else PLOT_IN
    return axes.get_position().height * height_in * 72 / max(1, count)
