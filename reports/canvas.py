"""Sheets of equal panels, placed by hand so that every panel is a cell that can stand alone.

A sheet is one figure of a paper (two columns of panels under a legend). Because every axes lives in
a cell of known size, the HTML report can cut the same drawing into panels that reflow on a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from probe_bench.reports.style import NOTE_PT, PAPER, Look

__all__ = [
    "Cell",
    "Entry",
    "Sheet",
    "evenly",
    "line_style",
    "name_beside",
    "new_sheet",
    "shorten",
    "write_title",
]

CELL_WIDTH_IN, PLOT_HEIGHT_IN = 3.5, 1.5
LEFT_IN, RIGHT_IN, TOP_IN = 0.53, 0.17, 0.27
AXIS_LABEL_IN = 0.38  # from the axis: room for numbers as long as -3.25
LEGEND_ROW_IN = 0.16
BESIDE_IN = 0.6
TITLE_LETTERS = 41


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of a legend."""

    label: str
    look: Look


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One panel of a sheet.

    Attributes:
        axes: Where to draw; its SVG group is `cell-K`.
        box_pt: Left, top, width and height of its cell, in points from the sheet's top left.
    """

    axes: Axes
    box_pt: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One figure: panels, what stands for them in words, and the legend they share.

    Attributes:
        name: File name without ending.
        figure: The drawing.
        cells: Its panels, row by row.
        legend: Shared legend.
        alts: Title and description of every panel, for readers who do not see it.
    """

    name: str
    figure: Figure
    cells: list[Cell]
    legend: list[Entry]
    alts: list[tuple[str, str]] = field(default_factory=list)


def new_sheet(
    name: str,
    n_panels: int,
    legend: Sequence[Entry],
    *,
    bottom_in: float = 0.44,
    plot_in: float = PLOT_HEIGHT_IN,
) -> Sheet:
    """Lay out empty panels, two to a row, under a legend.

    Args:
        name: File name without ending.
        n_panels: At least one.
        legend: Shared by all panels.
        bottom_in: Room for ticks and label of the horizontal axis.
        plot_in: Height of the plot itself.
    """
    cell_height_in = TOP_IN + plot_in + bottom_in
    columns = min(2, n_panels)
    rows = math.ceil(n_panels / columns)
    width_in = columns * CELL_WIDTH_IN
    legend_columns = _legend_columns(legend, width_in)
    legend_in = math.ceil(len(legend) / legend_columns) * LEGEND_ROW_IN + 0.1 if legend else 0.0
    sheet_in = rows * cell_height_in + legend_in
    figure = Figure(figsize=(width_in, sheet_in))
    cells = []
    for index in range(n_panels):
        left_in = (index % columns) * CELL_WIDTH_IN
        top_in = legend_in + (index // columns) * cell_height_in
        box_in = (left_in, top_in, CELL_WIDTH_IN, cell_height_in)
        axes = figure.add_axes(_inner(box_in, width_in, sheet_in, plot_in))
        axes.set_gid(f"cell-{index}")
        shift = ScaledTranslation(-AXIS_LABEL_IN, 0, figure.dpi_scale_trans)
        axes.yaxis.set_label_coords(0, 0.5, transform=axes.transAxes + shift)
        cells.append(Cell(axes=axes, box_pt=_points(box_in)))
    if legend:
        _draw_legend(figure, legend, legend_columns)
    return Sheet(name=name, figure=figure, cells=cells, legend=list(legend))


def _inner(
    box_in: tuple[float, float, float, float], width_in: float, sheet_in: float, plot_in: float
) -> tuple[float, float, float, float]:
    """Axes rectangle of a cell, in figure fractions from the bottom left."""
    left, top, width, _ = box_in
    return (
        (left + LEFT_IN) / width_in,
        1 - (top + TOP_IN + plot_in) / sheet_in,
        (width - LEFT_IN - RIGHT_IN) / width_in,
        plot_in / sheet_in,
    )


def _points(box_in: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, width, height = (72 * length for length in box_in)
    return left, top, width, height


def _legend_columns(legend: Sequence[Entry], width_in: float) -> int:
    """As many columns as the longest label allows, at about 4.2 points a letter."""
    longest_in = max((len(shorten(entry.label)) for entry in legend), default=1) * 4.2 / 72 + 0.55
    return max(1, min(len(legend), int(width_in / longest_in)))


def _draw_legend(figure: Figure, legend: Sequence[Entry], columns: int) -> None:
    handles = [Line2D([], [], **line_style(entry.look)) for entry in legend]
    labels = [shorten(entry.label) for entry in legend]
    figure.legend(
        handles, labels, loc="upper left", ncols=columns, borderaxespad=0.4, handlelength=2.6
    )


def name_beside(axes: Axes, handles: Sequence[Line2D], labels: Sequence[str]) -> None:
    """Name the lines of one panel to the right of it, where no line can run behind the names."""
    place = axes.get_position()
    figure = axes.get_figure(root=True)
    narrow = BESIDE_IN / (figure.get_figwidth() if figure else CELL_WIDTH_IN)
    axes.set_position((place.x0, place.y0, place.width - narrow, place.height))
    axes.legend(
        handles,
        [shorten(label, 10) for label in labels],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.03),
        handlelength=1.0,
        handletextpad=0.4,
        labelspacing=0.25,
        fontsize=NOTE_PT,
    )


def shorten(name: str, limit: int = 30) -> str:
    """Cut the middle out of a name that would not fit; the report's text has it whole."""
    half = (limit - 1) // 2
    return name if len(name) <= limit else f"{name[:half]}…{name[-half:]}"


def evenly(count: int, limit: int) -> list[int]:
    """Places of at most `limit` of some things, the first and the last among them.

    >>> evenly(13, 4)
    [0, 4, 8, 12]
    """
    return [round(place) for place in np.linspace(0, count - 1, min(count, limit)).tolist()]


def write_title(axes: Axes, title: str) -> None:
    """Write as much of a panel's title as its cell has room for; `Sheet.alts` has it whole."""
    axes.set_title(shorten(title, TITLE_LETTERS))


def line_style(look: Look) -> dict[str, Any]:
    """Keyword arguments of a matplotlib line."""
    return {
        "color": look.colour,
        "linestyle": look.linestyle,
        "linewidth": look.width,
        "marker": look.marker or None,
        "markerfacecolor": PAPER if look.hollow else (look.colour, look.opacity),
        "markeredgecolor": look.edge,
        "markeredgewidth": look.outline or 0.8,
        "markersize": look.size,
    }
