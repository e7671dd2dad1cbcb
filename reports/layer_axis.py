"""The horizontal axis of every per-layer panel: depth, labelled by the names of the layers."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation, Transform

from probe_bench.reports.canvas import line_style
from probe_bench.reports.curves import looks_here
from probe_bench.reports.style import Look
from probe_bench.reports.tables import layer_rows

__all__ = ["axis_height_in", "draw_layer_axis"]

MAX_ROWS = 2
ROW_PT, FIRST_ROW_PT = 9.0, 4.0
AXIS_WIDTH_PT = 188.0
LETTER_PT, GAP_PT = 4.3, 4.0
NAMES_IN, DEPTHS_IN = (
    0.44,
    0.5,
)  # under a panel: one row of names, or relative depths, and the label

Layout = tuple[tuple[str, float], ...]


def draw_layer_axis(axes: Axes, rows: pd.DataFrame, encoders: Mapping[str, Look]) -> None:
    """Name the layers under the axis, one row of names for each layer layout.

    With more layouts than fit, the axis shows relative depth instead.
    """
    layouts = _layouts(rows, encoders)
    ends = [place for layout in layouts for _, place in layout] or [0, 1]
    width = max(ends) - min(ends)
    axes.set_xlim(min(ends) - 0.035 * width, max(ends) + 0.035 * width)
    if not layouts or len(layouts) > MAX_ROWS:
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 input", "¼", "½", "¾", "1 last"])
        axes.set_xlabel("relative depth of the layer")
        return
    axes.set_xticks(sorted({place for layout in layouts for _, place in layout}))
    axes.set_xticklabels([])
    for row, (layout, owners) in enumerate(layouts.items()):
        _draw_names(axes, _that_fit(layout, AXIS_WIDTH_PT / width), row)
        if len(layouts) > 1 and len(owners) == 1:
            _draw_owner(axes, owners[0], row)
    axes.set_xlabel("layer", labelpad=ROW_PT * len(layouts) + 1)


def axis_height_in(table: pd.DataFrame, panels: Iterable[pd.DataFrame]) -> float:
    """Room that the names of the layers and the label of the axis need under every panel."""
    counts = [len(_layouts(rows, looks_here(table, rows))) for rows in panels]
    rooms = [NAMES_IN + (n - 1) * ROW_PT / 72 if 1 <= n <= MAX_ROWS else DEPTHS_IN for n in counts]
    return max(rooms, default=NAMES_IN)


def _layouts(rows: pd.DataFrame, encoders: Mapping[str, Look]) -> dict[Layout, list[Look]]:
    """Names and places of the layers, with the encoders that have them so, or some of them."""
    layouts: dict[Layout, list[Look]] = {}
    for name, look in encoders.items():
        mine = layer_rows(rows, name)
        if len(mine) > 1:
            layout = tuple(zip(mine["layer"].astype(str), mine["place"], strict=True))
            layouts.setdefault(layout, []).append(look)
    whole = [a for a in layouts if not any(set(a) < set(b) for b in layouts)]
    return {a: [look for b in layouts if set(b) <= set(a) for look in layouts[b]] for a in whole}


def _draw_names(axes: Axes, layout: Layout, row: int) -> None:
    for name, place in layout:
        axes.annotate(
            name,
            (place, 0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, -FIRST_ROW_PT - ROW_PT * row),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7,
            annotation_clip=False,
        )


def _that_fit(layout: Layout, unit_pt: float) -> Layout:
    """Keep evenly spaced names that do not touch; the first and the last always stay."""
    first, last = layout[0], layout[-1]
    for stride in range(1, len(layout)):
        steps = layout[:-1:stride]
        kept = [layer for layer in steps if layer is first or _clear(layer, last, unit_pt)]
        pairs = pairwise([*kept, last])
        if all(_clear(left, right, unit_pt) for left, right in pairs):
            return (*kept, last)
    return (first, last)


def _clear(left: tuple[str, float], right: tuple[str, float], unit_pt: float) -> bool:
    needed_pt = (len(left[0]) + len(right[0])) / 2 * LETTER_PT + GAP_PT
    return (right[1] - left[1]) * unit_pt >= needed_pt


def _draw_owner(axes: Axes, look: Look, row: int) -> None:
    """Mark whose layers a row of names belongs to, left of the row."""
    down_pt = FIRST_ROW_PT + ROW_PT * row + 4
    shift = ScaledTranslation(-20 / 72, -down_pt / 72, axes.figure.dpi_scale_trans)
    place: Transform = axes.transAxes + shift
    axes.plot([0, 0], [0, 0], transform=place, clip_on=False, **line_style(look))
