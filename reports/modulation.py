"""Modulation figures: the support cutoff of every layer, gain curves and output spectra."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from probe_bench.reports.canvas import Cell, Entry, Sheet, line_style, new_sheet
from probe_bench.reports.figures import legend_entries, logmel_look, logmel_names, looks_here
from probe_bench.reports.layer_axis import draw_layer_axis
from probe_bench.reports.metrics import metric_text
from probe_bench.reports.style import CHANCE, FEW, LOGMEL, TWINS, Look, depth_colours
from probe_bench.reports.tables import (
    ANALYSIS,
    corpora,
    layer_rows,
    score_of,
    spectrum,
    subjects,
    twin_name,
)

__all__ = ["cutoff_curves", "spectra"]

HZ_TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
LINES_IN_LEGEND = 8
HALF_POWER = "\N{MINUS SIGN}3 dB"
NYQUIST = Look(colour="#7b7d85", dashes=(4.0, 1.0, 1.0, 1.0), width=0.9)


def cutoff_curves(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw the support cutoff against layer, one panel a corpus; None if there is nothing."""
    rows = table[(table["task"] == ANALYSIS) & (table["metric"] == "support_hz")]
    places = [corpus for corpus in corpora(rows) if subjects(rows[rows["corpus"] == corpus])]
    if not places:
        return None
    legend = [entry for entry in legend_entries(table) if entry.look != CHANCE]
    legend.append(Entry(label="half the frame rate", look=NYQUIST))
    sheet = new_sheet(name, len(places), legend)
    for corpus, cell in zip(places, sheet.cells, strict=True):
        sheet.alts.append(_draw_cutoffs(cell, corpus, rows[rows["corpus"] == corpus], table))
    return sheet


def _draw_cutoffs(
    cell: Cell, corpus: str, rows: pd.DataFrame, table: pd.DataFrame
) -> tuple[str, str]:
    axes, shown = cell.axes, looks_here(table, rows)
    few = len(subjects(table)) <= FEW
    axes.set_yscale("log", base=2)
    _draw_nyquist(axes, rows)
    for name in logmel_names(rows):
        _draw_control(axes, rows, name, logmel_look(rows, name, shown))
    twins = {name: twin_name(rows, name) for name in shown}
    series = [(twin, shown[name].twin if few else TWINS) for name, twin in twins.items() if twin]
    series += list(shown.items())
    for index, (name, look) in enumerate(series):
        shift = (index - (len(series) - 1) / 2) * 0.008 if few else 0.0
        _draw_cutoff(axes, layer_rows(rows, name), look, shift, intervals=few)
    low, high = axes.get_ylim() if rows["value"].notna().any() else (HZ_TICKS[0], HZ_TICKS[-1])
    axes.set_ylim(low / 1.3, high * 1.1)
    _hz_axis(axes, "y")
    draw_layer_axis(axes, rows, shown)
    axes.set_ylabel(f"support cutoff, {HALF_POWER} (Hz)")
    title = f"support cutoff · {corpus}"
    axes.set_title(title)
    return title, _describe(rows, list(shown))


def _draw_cutoff(
    axes: Axes, mine: pd.DataFrame, look: Look, shift: float, *, intervals: bool
) -> None:
    """Points with intervals; arrows where only a lower limit is known, crosses where nothing is."""
    measured = mine.dropna(subset=["value"])
    depths = measured["depth"].to_numpy(float) + shift
    values = measured["value"].to_numpy(float)
    axes.plot(depths, values, **line_style(look))
    lows, highs = measured["ci_low"].fillna(measured["value"]), measured["ci_high"]
    if intervals:
        axes.vlines(depths, lows, highs.fillna(measured["value"]), color=look.colour, linewidth=1)
    # An interval that has a lower end alone, or a censored value, goes on beyond the measurement.
    beyond = measured["censored"] | (highs.isna() & measured["ci_low"].notna())
    for depth, value in zip(depths[beyond], values[beyond], strict=True):
        axes.annotate(
            "", (depth, value * 1.35), (depth, value),
            arrowprops={"arrowstyle": "-|>", "color": look.colour, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
    missing = mine.loc[mine["value"].isna(), "depth"].to_numpy(float) + shift
    floor = np.full(len(missing), 0.04)
    axes.plot(
        missing, floor, "x", transform=axes.get_xaxis_transform(), color=look.colour, markersize=5
    )


def _draw_nyquist(axes: Axes, rows: pd.DataFrame) -> None:
    """Half the frame rate, beyond which a single frame per period is not even left."""
    rates_hz = rows.loc[rows["role"] == "subject", "frame_rate_hz"].dropna().unique()
    for rate_hz in sorted(rates_hz):
        axes.axhline(float(rate_hz) / 2, **line_style(NYQUIST))


def _draw_control(axes: Axes, rows: pd.DataFrame, name: str, look: Look) -> None:
    """The cutoff of log-mel itself: what the measurement can see at most."""
    mine = layer_rows(rows, name).dropna(subset=["value"])
    if mine.empty:
        return
    score = score_of(mine.iloc[0])
    if np.isfinite(score.low) and np.isfinite(score.high):
        axes.axhspan(score.low, score.high, color=look.colour, alpha=0.13, linewidth=0)
    axes.axhline(score.value, **line_style(look))
    if score.censored:
        axes.annotate(
            f"log-mel {metric_text('support_hz').number(score)} Hz", (1, score.value),
            xytext=(0, -2), textcoords="offset points", ha="right", va="top", fontsize=6.5,
        )  # fmt: skip


def _describe(rows: pd.DataFrame, names: Sequence[str]) -> str:
    text, parts = metric_text("support_hz"), []
    for name in names:
        mine = layer_rows(rows, name)
        cutoffs = [f"{row['layer']} {text.full(score_of(row))}" for _, row in mine.iterrows()]
        parts.append(f"{name}: {', '.join(cutoffs)}")
    return f"{text.axis} by layer. " + "; ".join(parts) + "."


def spectra(table: pd.DataFrame, metric: str, name: str) -> Sheet | None:
    """Draw `support_gain` or `speed_psd` of every layer, one panel an encoder and corpus."""
    rows = table[(table["task"] == ANALYSIS) & (table["metric"] == metric) & (table["value"] > 0)]
    pairs = [
        (encoder, corpus)
        for corpus in corpora(rows)
        for encoder in subjects(rows[rows["corpus"] == corpus])
    ]
    if not pairs:
        return None
    legend = [Entry(label="log-mel at that rate", look=LOGMEL)] if logmel_names(rows) else []
    if metric == "support_gain":
        legend.append(Entry(label=f"half power ({HALF_POWER})", look=CHANCE))
    legend.append(Entry(label="half the frame rate", look=NYQUIST))
    sheet = new_sheet(name, len(pairs), legend, bottom_in=0.42)
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
    for layer, colour in zip(names, depth_colours(list(layers["depth"])), strict=True):
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
    labels = _evenly(names, LINES_IN_LEGEND)
    axes.legend([handles[label] for label in labels], labels, loc="best", handlelength=1.6)
    title = f"{encoder} · {corpus}"
    axes.set_title(title)
    return title, f"{metric_text(metric).label} by modulation frequency, layers {', '.join(names)}."


def _finish_spectra(axes: Axes, metric: str, layers: pd.DataFrame) -> None:
    axes.grid(visible=False)
    axes.set_xscale("log", base=2)
    _hz_axis(axes, "x")
    axes.set_xlabel("modulation frequency (Hz)")
    if metric == "support_gain":
        axes.axhline(0.5, **line_style(CHANCE))
        axes.set_ylim(bottom=0)
        axes.set_ylabel("power gain of the readout")
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:g}"))
        axes.set_ylabel("power density (1/Hz)", labelpad=0)
    for rate_hz in sorted(layers["frame_rate_hz"].dropna().unique()):
        if rate_hz / 2 <= axes.get_xlim()[1] * 1.5:
            axes.axvline(float(rate_hz) / 2, **line_style(NYQUIST))


def _hz_axis(axes: Axes, which: str) -> None:
    """Octave ticks written as plain numbers."""
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks([hz for hz in HZ_TICKS if low <= hz <= high])
    axis.set_major_formatter(FuncFormatter(lambda hz, _: f"{hz:g}"))
    axis.set_minor_locator(NullLocator())


def _evenly(names: Sequence[str], limit: int) -> list[str]:
    """Pick at most `limit` names, the first and the last among them."""
    if len(names) <= limit:
        return list(names)
    places = np.linspace(0, len(names) - 1, limit).round().astype(int)
    return [names[place] for place in places]
