"""Figures of what a layer follows beside log-mel: phones, energy, voicing, pitch, and ripples."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes

from probe_bench.reports.canvas import Entry, Sheet, evenly, line_style, new_sheet, write_title
from probe_bench.reports.layer_axis import axis_height_in, draw_layer_axis
from probe_bench.reports.metrics import metric_text
from probe_bench.reports.modulation import draw_cutoff, hz_axis
from probe_bench.reports.settings import setting_number
from probe_bench.reports.style import COLOURS, LOGMEL, MARKERS, NOTE_PT, Look
from probe_bench.reports.tables import (
    ANALYSIS,
    corpora,
    layer_rows,
    logmel_rows,
    score_of,
    subjects,
)

__all__ = ["followed_curves", "ripple_maps"]

TARGETS = ("phones", "energy", "voicing", "pitch")
LOOKS: Mapping[str, Look] = {
    f"support_{name}_hz": Look(colour=colour, marker=marker)
    for name, colour, marker in zip(TARGETS, COLOURS, MARKERS, strict=False)
}
JOINT = "support_joint_gain"
LAYERS_SHOWN = 3
DARK, LIGHT, NO_CELL = "#15161a", "#ffffff", "#dcdde1"


def followed_curves(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw up to which rate each layer follows each target, a panel an encoder and corpus."""
    rows = table[(table["task"] == ANALYSIS) & table["metric"].isin(LOOKS)]
    pairs = _pairs(rows[rows["value"].notna()])
    if not pairs:
        return None
    there = [metric for metric in LOOKS if metric in set(rows["metric"])]
    legend = [Entry(label=_target(metric), look=LOOKS[metric]) for metric in there]
    legend.append(Entry(label="log-mel, same colours", look=LOGMEL))
    parts = [
        rows[(rows["name"] == encoder) & (rows["corpus"] == place)] for encoder, place in pairs
    ]
    sheet = new_sheet(name, len(pairs), legend, bottom_in=axis_height_in(table, parts))
    for (encoder, place), cell in zip(pairs, sheet.cells, strict=True):
        here = rows[rows["corpus"] == place]
        sheet.alts.append(_draw_followed(cell.axes, here, encoder, place))
    return sheet


def _pairs(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Encoders under test and the corpora they were measured on."""
    places = [(place, rows[rows["corpus"] == place]) for place in corpora(rows)]
    return [(encoder, place) for place, here in places for encoder in subjects(here)]


def _target(metric: str) -> str:
    return metric.removeprefix("support_").removesuffix("_hz")


def _draw_followed(axes: Axes, rows: pd.DataFrame, encoder: str, place: str) -> tuple[str, str]:
    axes.set_yscale("log", base=2)
    said = []
    for metric, look in LOOKS.items():
        here = rows[rows["metric"] == metric]
        mine = layer_rows(here, encoder)
        if mine.empty:
            continue
        draw_cutoff(axes, mine, look, 0.0, intervals=True)
        for value in logmel_rows(here, encoder)["value"].dropna():
            axes.axhline(value, **{**line_style(LOGMEL), "color": look.colour})
        cutoffs = [
            f"{row['layer']} {metric_text(metric).full(score_of(row))}"
            for _, row in mine.iterrows()
        ]
        said.append(f"{_target(metric)}: {', '.join(cutoffs)}")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.5, high * 1.5)  # room for arrows
    hz_axis(axes, "y")
    mine = rows[rows["name"] == encoder]
    draw_layer_axis(axes, mine, {encoder: LOGMEL})
    axes.set_ylabel("followed up to (Hz)")
    title = f"{encoder} · {place}"
    write_title(axes, title)
    return title, f"Rate up to which each target is followed. {'; '.join(said)}."


def ripple_maps(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw the joint support of the first, middle and last layer of each encoder as heat maps."""
    rows = table[(table["task"] == ANALYSIS) & (table["metric"] == JOINT)]
    rows = rows[rows["setting"].str.contains("scale_cyc_per_oct")]
    settings = rows["setting"]
    rows = rows.assign(
        rate=[setting_number(text, "mod_freq_hz") for text in settings],
        scale=[setting_number(text, "scale_cyc_per_oct") for text in settings],
    )
    shown = [
        (encoder, place, layer)
        for encoder, place in _pairs(rows)
        for layer in _ends(rows[(rows["name"] == encoder) & (rows["corpus"] == place)])
    ]
    if not shown:
        return None
    sheet = new_sheet(name, len(shown), [])
    for (encoder, place, layer), cell in zip(shown, sheet.cells, strict=True):
        here = rows[rows["corpus"] == place]
        mine = here[(here["name"] == encoder) & (here["layer"] == layer)]
        sheet.alts.append(_draw_map(cell.axes, mine, f"{encoder} · {place} · {layer}"))
    return sheet


def _ends(rows: pd.DataFrame) -> list[str]:
    """First, middle and last layer that there is a picture of."""
    layers = rows.sort_values("depth", kind="stable")["layer"].unique()
    return [str(layers[place]) for place in evenly(len(layers), LAYERS_SHOWN)]


def _draw_map(axes: Axes, rows: pd.DataFrame, title: str) -> tuple[str, str]:
    cells = rows.pivot_table(index="scale", columns="rate", values="value", dropna=False)
    grid = cells.to_numpy(float)
    colours = sns.blend_palette(sns.color_palette("mako_r", 256)[4:226], as_cmap=True)
    axes.set_facecolor(NO_CELL)
    axes.pcolormesh(grid, cmap=colours, vmin=0, vmax=1, edgecolors="face", linewidth=0.1)
    axes.grid(visible=False)
    _write_shares(axes, grid)
    axes.set_xticks(np.arange(grid.shape[1]) + 0.5, [f"{hz:g}" for hz in cells.columns])
    axes.set_yticks(np.arange(grid.shape[0]) + 0.5, [f"{scale:g}" for scale in cells.index])
    axes.set_xlabel("modulation frequency (Hz)")
    axes.set_ylabel("cycles per octave")
    write_title(axes, title)
    return title, _describe_map([float(hz) for hz in cells.columns], grid)


def _write_shares(axes: Axes, grid: Float[np.ndarray, "scales rates"]) -> None:
    """Write percentages into the cells that there are."""
    for (i, j), value in np.ndenumerate(grid):
        if np.isfinite(value):
            colour = LIGHT if value > 0.5 else DARK
            text = f"{max(0, round(100 * value))}"
            axes.text(
                j + 0.5, i + 0.5, text, ha="center", va="center", color=colour, fontsize=NOTE_PT
            )  # fmt: skip


def _describe_map(rates_hz: Sequence[float], grid: Float[np.ndarray, "scales rates"]) -> str:
    """Say the gain at every rate, over scales."""
    means = [
        f"{hz:g} Hz {np.nanmean(column):.0%}"
        for hz, column in zip(rates_hz, grid.T, strict=True)
        if np.isfinite(column).any()
    ]
    return f"Power gain of ripples, mean over scales: {', '.join(means)}."
