"""The horizontal axis of every per-layer panel: depth, labelled by the names of the layers."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation, Transform

from probe_bench.reports.canvas import line_style
from probe_bench.reports.style import Look
from probe_bench.reports.tables import layer_rows

__all__ = ["draw_layer_axis"]

MAX_ROWS = 2
ROW_PT, FIRST_ROW_PT = 9.0, 4.0
AXIS_WIDTH_PT = 188.0
LETTER_PT, GAP_PT = 4.3, 4.0

Layout = tuple[tuple[str, float], ...]


def draw_layer_axis(axes: Axes, rows: pd.DataFrame, encoders: Mapping[str, Look]) -> None:
    """Name the layers under the axis, one row of names for each layer layout.

    With more layouts than fit, the axis shows relative depth instead.
    """
    layouts: dict[Layout, list[Look]] = {}
    for name, look in encoders.items():
        mine = layer_rows(rows, name)
        if len(mine) > 1:
            depths = mine["depth"].astype(float)
            layout = tuple(zip(mine["layer"].astype(str), depths, strict=True))
            layouts.setdefault(layout, []).append(look)
    axes.set_xlim(-0.035, 1.035)
    if not layouts or len(layouts) > MAX_ROWS:
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 input", "¼", "½", "¾", "1 last"])
        axes.set_xlabel("relative depth of the layer")
        return
    axes.set_xticks(sorted({depth for layout in layouts for _, depth in layout}))
    axes.set_xticklabels([])
    for row, (layout, owners) in enumerate(layouts.items()):
        _draw_names(axes, layout, row)
        if len(layouts) > 1 and len(owners) == 1:
            _draw_owner(axes, owners[0], row)
    axes.set_xlabel("layer", labelpad=ROW_PT * len(layouts) + 1)


def _draw_names(axes: Axes, layout: Layout, row: int) -> None:
    for name, depth in _that_fit(layout):
        axes.annotate(
            name,
            (depth, 0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, -FIRST_ROW_PT - ROW_PT * row),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7,
            annotation_clip=False,
        )


def _that_fit(layout: Layout) -> Layout:
    """Keep evenly spaced names that do not touch; the first and the last always stay."""
    last = layout[-1]
    for stride in range(1, len(layout)):
        kept = [layer for layer in layout[:-1:stride] if layer is layout[0] or _apart(layer, last)]
        if all(_apart(left, right) for left, right in zip(kept, [*kept[1:], last], strict=True)):
            return (*kept, last)
    return (layout[0], last)


def _apart(left: tuple[str, float], right: tuple[str, float]) -> bool:
    needed_pt = (len(left[0]) + len(right[0])) / 2 * LETTER_PT + GAP_PT
    return (right[1] - left[1]) * AXIS_WIDTH_PT >= needed_pt


def _draw_owner(axes: Axes, look: Look, row: int) -> None:
    """Mark whose layers a row of names belongs to, left of the row."""
    down_pt = FIRST_ROW_PT + ROW_PT * row + 4
    shift = ScaledTranslation(-20 / 72, -down_pt / 72, axes.figure.dpi_scale_trans)
    place: Transform = axes.transAxes + shift
    axes.plot([0, 0], [0, 0], transform=place, clip_on=False, **line_style(look))
