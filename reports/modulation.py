"""Modulation figures: rates in Hz by layer, gain curves and output spectra."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from probe_bench.reports.canvas import (
    Entry,
    Sheet,
    evenly,
    line_style,
    name_beside,
    new_sheet,
    write_title,
)
from probe_bench.reports.curves import drawn_series, logmel_names, looks_here
from probe_bench.reports.layer_axis import draw_layer_axis
from probe_bench.reports.metrics import metric_text
from probe_bench.reports.style import CHANCE, FEW, LOGMEL, NOTE_PT, Look, depth_colours
from probe_bench.reports.tables import (
    ANALYSIS,
    SPEED,
    corpora,
    layer_rows,
    score_of,
    spectrum,
    subjects,
)

__all__ = [
    "HALF_POWER",
    "NYQUIST",
    "describe_by_layer",
    "draw_by_layer",
    "draw_cutoff",
    "hz_axis",
    "spectra",
]

HZ_TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
LINES_IN_LEGEND = 8
HALF_POWER = "\N{MINUS SIGN}3 dB"
GAINS = {
    "support_gain": "power gain of the readout",
    "emphasis_gain": "response over log-mel's (power)",
}
NYQUIST = Look(colour="#7b7d85", dashes=(4.0, 1.0, 1.0, 1.0), width=0.9)


def draw_by_layer(axes: Axes, rows: pd.DataFrame, table: pd.DataFrame) -> None:
    """Draw rates in Hz of every layer of every encoder, with log-mel's as a horizontal line.

    Args:
        axes: Where to draw.
        rows: Rows of one metric on one corpus.
        table: All rows, which say how many encoders there are and what each looks like.
    """
    few = len(subjects(table)) <= FEW
    axes.set_yscale("log", base=2)
    drawn = list(drawn_series(table, rows))
    curves = [series for series in drawn if series.role != "logmel"]
    steps = [_step(layer_rows(rows, series.name)) for series in curves]
    apart = min(0.02, 0.6 * min(steps, default=1.0) / max(len(curves), 1)) if few else 0.0
    for series in drawn:
        mine = layer_rows(rows, series.name)
        if series.role == "logmel":
            _draw_control(axes, mine, series.look)
        else:
            shift = (curves.index(series) - (len(curves) - 1) / 2) * apart
            draw_cutoff(axes, mine, series.look, shift, intervals=few)
    low, high = axes.get_ylim() if rows["value"].notna().any() else (HZ_TICKS[0], HZ_TICKS[-1])
    axes.set_ylim(low / 1.5, high * 1.5)  # room for arrows
    hz_axis(axes, "y")
    draw_layer_axis(axes, rows, looks_here(table, rows))


def _step(rows: pd.DataFrame) -> float:
    """Smallest distance of two layers of one encoder on the axis; 1 for a single one."""
    return float(rows["place"].diff().min()) if len(rows) > 1 else 1.0


def draw_cutoff(
    axes: Axes, mine: pd.DataFrame, look: Look, shift: float, *, intervals: bool
) -> None:
    """Points with intervals; arrows where only a limit is known, crosses where nothing is."""
    mine = mine.assign(place=mine["place"] + shift)
    measured = mine.dropna(subset=["value"])
    places, values = measured["place"], measured["value"]
    axes.plot(places, values, **line_style(look))
    lows, highs = measured["ci_low"], measured["ci_high"]
    if intervals:
        ends = (lows.fillna(values), highs.fillna(values))
        axes.vlines(places, *ends, color=look.colour, linewidth=1)
    # An interval that has one end alone, or a censored value, goes on beyond the measurement.
    beyond = measured["censored"] | (highs.isna() != lows.isna())
    for place, (_, row) in zip(places[beyond], measured[beyond].iterrows(), strict=True):
        factor = 1 / 1.35 if score_of(row).below or math.isfinite(row["ci_high"]) else 1.35
        axes.annotate(
            "", (place, row["value"] * factor), (place, row["value"]),
            arrowprops={"arrowstyle": "-|>", "color": look.colour, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    missing = mine.loc[mine["value"].isna(), "place"]
    axes.plot(
        missing, np.full(len(missing), 0.04), "x", transform=axes.get_xaxis_transform(),
        color=look.colour, markersize=5,
    )  # fmt: skip


def _draw_control(axes: Axes, mine: pd.DataFrame, look: Look) -> None:
    """The cutoff of log-mel itself: what the measurement can see at most."""
    mine = mine.dropna(subset=["value"])
    if mine.empty:
        return
    score = score_of(mine.iloc[0])
    axes.axhline(score.value, **line_style(look))
    if score.censored:
        axes.annotate(
            f"log-mel {metric_text(SPEED).number(score)} Hz", (1, score.value),
            xycoords=axes.get_yaxis_transform(), xytext=(0, 3 if score.below else -2),
            textcoords="offset points", ha="right", va="bottom" if score.below else "top",
            fontsize=NOTE_PT,
        )  # fmt: skip


def describe_by_layer(rows: pd.DataFrame, names: Sequence[str]) -> str:
    """Put what `draw_by_layer` draws of some encoders into words."""
    text, parts = metric_text(str(rows["metric"].iloc[0])), []
    for name in names:
        mine = layer_rows(rows, name)
        cutoffs = [f"{row['layer']} {text.full(score_of(row))}" for _, row in mine.iterrows()]
        parts.append(f"{name}: {', '.join(cutoffs)}")
    return f"{text.axis} by layer. " + "; ".join(parts) + "."


def spectra(table: pd.DataFrame, metric: str, name: str) -> Sheet | None:
    """Draw `support_gain`, `emphasis_gain` or `speed_psd` of every layer, one panel an encoder and corpus."""
    rows = table[(table["task"] == ANALYSIS) & (table["metric"] == metric) & (table["value"] > 0)]
    pairs = [
        (encoder, corpus)
        for corpus in corpora(rows)
        for encoder in subjects(rows[rows["corpus"] == corpus])
    ]
    if not pairs:
        return None
    legend = [Entry(label="log-mel at that rate", look=LOGMEL)] if logmel_names(rows) else []
    if metric in GAINS:
        legend.append(Entry(label=f"half power ({HALF_POWER})", look=CHANCE))
    legend.append(Entry(label="half the frame rate", look=NYQUIST))
    sheet = new_sheet(name, len(pairs), legend)
    for (encoder, corpus), cell in zip(pairs, sheet.cells, strict=True):
        here = rows[rows["corpus"] == corpus]
        sheet.alts.append(_draw_spectra(cell.axes, here, metric, encoder, corpus))
    return sheet


def _draw_spectra(
    axes: Axes, rows: pd.DataFrame, metric: str, encoder: str, corpus: str
) -> tuple[str, str]:
    layers = layer_rows(rows, encoder)
    names = [str(layer) for layer in layers["layer"]]
    handles = {}
    for layer, colour in zip(names, depth_colours(list(layers["place"])), strict=True):
        curve = spectrum(rows, metric, encoder, layer)
        (handles[layer],) = axes.plot(
            curve["mod_freq_hz"], curve["value"], color=colour, linewidth=1.3
        )
    for control in logmel_names(rows):
        for _, row in layer_rows(rows, control).iterrows():
            if row["frame_rate_hz"] == layers["frame_rate_hz"].max():
                curve = spectrum(rows, metric, control, str(row["layer"]))
                axes.plot(curve["mod_freq_hz"], curve["value"], **line_style(LOGMEL))
    _finish_spectra(axes, metric, layers)
    labels = [names[place] for place in evenly(len(names), LINES_IN_LEGEND)]
    name_beside(axes, [handles[label] for label in labels], labels)
    title = f"{encoder} · {corpus}"
    write_title(axes, title)
    return title, f"{metric_text(metric).label} by modulation frequency, layers {', '.join(names)}."


def _finish_spectra(axes: Axes, metric: str, layers: pd.DataFrame) -> None:
    axes.grid(visible=False)
    axes.set_xscale("log", base=2)
    hz_axis(axes, "x")
    axes.set_xlabel("modulation frequency (Hz)")
    if metric in GAINS:
        axes.axhline(0.5, **line_style(CHANCE))
        axes.set_ylim(bottom=0)
        axes.set_ylabel(GAINS[metric])
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:g}"))
        axes.set_ylabel("power density (1/Hz)")
    for rate_hz in sorted(layers["frame_rate_hz"].dropna().unique()):
        if rate_hz / 2 <= axes.get_xlim()[1] * 1.5:
            axes.axvline(float(rate_hz) / 2, **line_style(NYQUIST))


def hz_axis(axes: Axes, which: str) -> None:
    """Octave ticks written as plain numbers."""
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks([hz for hz in HZ_TICKS if low <= hz <= high])
    axis.set_major_formatter(FuncFormatter(lambda hz, _: f"{hz:g}"))
    axis.set_minor_locator(NullLocator())
