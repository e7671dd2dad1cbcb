"""A cutoff study as one figure: cutoffs and scores by knob, layers, and what the masks really hid."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from probe_bench.reports.canvas import Entry, Sheet, line_style, name_beside, new_sheet, write_title
from probe_bench.reports.cutoff_data import (
    BASE,
    CUTOFFS,
    HALF_SPAN_LAW,
    PATCHES,
    TASKS,
    UNTRAINED,
    StudyTables,
    of_layer,
    read_study,
)
from probe_bench.reports.modulation import hz_axis
from probe_bench.reports.style import (
    COLOURS,
    GRID,
    INK,
    NOTE_PT,
    Look,
    depth_colours,
    house_style,
)

__all__ = ["draw_study"]

_LOOKS = {
    BASE: Look(colour=COLOURS[0], marker="o", width=1.2),
    PATCHES: Look(colour=COLOURS[1], marker="s", width=1.2, hollow=True),
    UNTRAINED: Look(colour="#7b7d85", marker="D", width=0.9, dashes=(1.0, 1.6), size=3.4),
}
_LAW = Look(colour=INK, dashes=(5.0, 2.0), width=1.0)
_HALF_RATE = Look(colour="#7b7d85", dashes=(4.0, 1.0, 1.0, 1.0), width=0.9)
_ASIDE = {BASE: 0.96, PATCHES: 1.04}  # groups stand side by side on the log axis of spans

Draw = Callable[[Axes], None]


def draw_study(folder: Path, name: str) -> Path:
    """Draw `NAME.png` and `NAME.pdf` from the tables of a study.

    Raises:
        UserError: If a table is missing.
    """
    tables = read_study(folder, name)
    with house_style():
        sheet = _span_sheet(tables) if tables.is_of_spans else _arm_sheet(tables)
        path = folder / f"{name}.png"
        sheet.figure.savefig(path, metadata={"Software": None})
        sheet.figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    return path


def _span_sheet(tables: StudyTables) -> Sheet:
    legend = [Entry(label=name, look=look) for name, look in _LOOKS.items()]
    legend += [
        Entry(label=f"law, {HALF_SPAN_LAW}", look=_LAW),
        Entry(label="half the token rate", look=_HALF_RATE),
    ]
    panels: list[tuple[str, Draw]] = [
        (f"{text} of {tables.layer}", partial(_draw_cutoff, tables=tables, metric=metric))
        for metric, text in CUTOFFS.items()
    ]
    panels += [
        (f"{task} probe on {tables.layer}", partial(_draw_scores, tables=tables, task=task))
        for task in TASKS
    ]
    panels += [
        ("support by layer, JEPA", partial(_draw_layers, tables=tables, group=BASE)),
        ("hidden stretches", partial(_draw_gaps, gaps=tables.gaps)),
    ]
    if tables.curves is not None:
        panels.append(("predictability across gaps", partial(_draw_curves, curves=tables.curves)))
    return _sheet(tables.name, panels, legend)


def _arm_sheet(tables: StudyTables) -> Sheet:
    panels: list[tuple[str, Draw]] = [
        (f"{text} of {tables.layer}", partial(_draw_arms, tables=tables, metric=metric))
        for metric, text in CUTOFFS.items()
    ]
    panels += [
        (
            f"{task} probe on {tables.layer}",
            partial(_draw_arms, tables=tables, task=task, metric="accuracy"),
        )
        for task in TASKS
    ]
    panels.append(("support by layer", partial(_draw_layers, tables=tables, group=None)))
    return _sheet(tables.name, panels, [])


def _sheet(name: str, panels: Sequence[tuple[str, Draw]], legend: Sequence[Entry]) -> Sheet:
    sheet = new_sheet(name, len(panels), legend)
    for (title, draw), cell in zip(panels, sheet.cells, strict=True):
        write_title(cell.axes, title)
        draw(cell.axes)
    return sheet


def _draw_cutoff(axes: Axes, *, tables: StudyTables, metric: str) -> None:
    """Cutoff against mask span, every training a point, with the fitted lines and the law's."""
    rows = of_layer(tables.rows, "modulation", metric, tables.layer)
    axes.set_yscale("log", base=2)
    _span_axis(axes, rows["span_ms"])
    for group, look in _LOOKS.items():
        mine = rows[rows["group"] == group]
        if group == UNTRAINED and len(mine):
            level = np.exp(np.log(mine["value"]).mean())
            axes.axhline(level, **_bare(look))
            if (mine["bound"] == "at least").any():
                axes.annotate("▴", (1, level), xycoords=("axes fraction", "data"), ha="right",
                              va="bottom", fontsize=NOTE_PT, color=look.colour)  # fmt: skip
        elif len(mine):
            _draw_points(axes, mine, look)
            _draw_line(axes, tables, metric, group, look)
    spans_s = np.sort(rows["span_ms"].unique()) / 1000
    axes.plot(spans_s * 1000, 1 / (2 * spans_s), **line_style(_LAW))
    rate_hz = rows["frame_rate_hz"].dropna()
    if len(rate_hz):
        axes.axhline(float(rate_hz.iloc[0]) / 2, **line_style(_HALF_RATE))
    _hz_from_to(axes, "y")
    axes.set_ylabel("cutoff (Hz)")


def _draw_points(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    """Trainings; arrows where the cutoff lies beyond what can be measured."""
    x = rows["span_ms"] * rows["group"].map(_ASIDE)
    axes.plot(x, rows["value"], **(line_style(look) | {"linestyle": ""}))
    for bound, factor in (("at least", 1.25), ("at most", 0.8)):
        beyond = (rows["bound"] == bound).to_numpy()
        for at, value in zip(x[beyond], rows["value"][beyond], strict=True):
            axes.annotate(
                "", (at, value * factor), (at, value), annotation_clip=False,
                arrowprops={"arrowstyle": "-|>", "color": look.colour, "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip


def _draw_line(axes: Axes, tables: StudyTables, metric: str, group: str, look: Look) -> None:
    """The fitted power law through the trainings of a group."""
    assert tables.lines is not None
    lines = tables.lines
    fit = lines[
        (lines["metric"] == metric) & (lines["group"] == group) & (lines["layer"] == tables.layer)
    ]
    if fit.empty or not np.isfinite(fit["slope"].iloc[0]):
        return
    slope, constant, centre_ms = (float(fit[c].iloc[0]) for c in ("slope", "constant", "centre_ms"))
    rows = tables.rows
    spans_ms = np.sort(rows.loc[rows["group"] == group, "span_ms"].unique())
    hz = constant * 1000 / (2 * centre_ms) * (spans_ms / centre_ms) ** slope
    axes.plot(spans_ms, hz, **_bare(look))


def _draw_scores(axes: Axes, *, tables: StudyTables, task: str) -> None:
    """Accuracy against mask span, every training a point, means joined."""
    rows = of_layer(tables.rows, task, "accuracy", tables.layer)
    rows = rows.assign(value=100 * rows["value"])
    _span_axis(axes, rows["span_ms"])
    for group, look in _LOOKS.items():
        mine = rows[rows["group"] == group]
        if group == UNTRAINED and len(mine):
            axes.axhline(mine["value"].mean(), **_bare(look))
        elif len(mine):
            _draw_points(axes, mine, look)
            means = mine.groupby("span_ms")["value"].mean()
            axes.plot(means.index, means, **_bare(look))
    axes.set_ylabel("accuracy (%)")


def _draw_layers(axes: Axes, *, tables: StudyTables, group: str | None) -> None:
    """Support of every layer: geometric means over seeds, an arm a line."""
    rows = tables.rows
    rows = rows[(rows["metric"] == "support_hz") & np.isfinite(rows["value"])]
    kept = rows if group is None else rows[rows["group"].isin([group, UNTRAINED])]
    layers = [str(layer) for layer in kept["layer"].unique()]
    arms = [str(arm) for arm in kept["arm"].unique()]
    trained = [arm for arm in arms if arm != UNTRAINED]
    colours = dict(zip(trained, _in_order(len(trained)), strict=True))
    axes.set_yscale("log", base=2)
    handles = []
    for arm in arms:
        mine = kept[kept["arm"] == arm].assign(log=lambda t: np.log(t["value"]))
        means = np.exp(mine.groupby("layer")["log"].mean()).reindex(layers)
        style = line_style(_LOOKS[UNTRAINED]) if arm == UNTRAINED else {"color": colours[arm]}
        handles += axes.plot(range(len(layers)), means, **({"marker": "."} | style))
    axes.set_xticks(range(len(layers)), layers)
    axes.set_xlabel("layer")
    axes.set_ylabel("cutoff (Hz)")
    _hz_from_to(axes, "y")
    name_beside(axes, handles, [arm.removeprefix(f"{group} ") for arm in arms])


def _draw_gaps(axes: Axes, *, gaps: pd.DataFrame) -> None:
    """Share of the hidden stretches by their realised length, an arm a row of bars."""
    arms = [
        str(arm) for arm in gaps["arm"].unique() if PATCHES not in str(arm) and arm != UNTRAINED
    ]
    for row, arm in enumerate(arms):
        mine = gaps[gaps["arm"] == arm]
        axes.scatter(
            mine["hidden_ms"], [row] * len(mine), s=30 * mine["share"], color=COLOURS[0], marker="s"
        )
    axes.set_xscale("log")
    _ms_ticks(axes, gaps["hidden_ms"])
    axes.set_yticks(range(len(arms)), [arm.removeprefix(f"{BASE} ") for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlabel("realised length (ms); area: share of the stretches")
    axes.set_ylabel("")


def _draw_curves(axes: Axes, *, curves: pd.DataFrame) -> None:
    """R² by modulation frequency across gaps of every length."""
    spans = sorted(curves["span_ms"].unique())
    handles = []
    for span_ms, colour in zip(spans, _in_order(len(spans)), strict=True):
        mine = curves[(curves["span_ms"] == span_ms) & (curves["mod_freq_hz"] > 0)]
        handles += axes.plot(
            mine["mod_freq_hz"], mine["r2"], color=colour, marker=".", markersize=3
        )
    axes.set_xscale("log", base=2)
    hz_axis(axes, "x")
    axes.set_xlabel("modulation frequency (Hz)")
    axes.set_ylabel("R² inside the gap")
    axes.set_ylim(bottom=min(0.0, float(curves["r2"].min())))
    name_beside(axes, handles, [f"{span_ms:g} ms" for span_ms in spans])


def _draw_arms(axes: Axes, *, tables: StudyTables, metric: str, task: str = "modulation") -> None:
    """One row an arm, every training a point, and the mean of the base across all rows."""
    rows = of_layer(tables.rows, task, metric, tables.layer)
    factor = 100 if metric == "accuracy" else 1
    for row, arm in enumerate(tables.arms):
        mine = rows[rows["arm"] == arm]
        look = _LOOKS.get(arm, Look(colour=COLOURS[2], marker="o"))
        axes.plot(
            factor * mine["value"], [row] * len(mine), **(line_style(look) | {"linestyle": ""})
        )
        for bound, sign, shift_pt in (("at least", "▸", 4), ("at most", "◂", -8)):
            for value in factor * mine.loc[mine["bound"] == bound, "value"]:
                axes.annotate(sign, (value, row), xytext=(shift_pt, 0), textcoords="offset points",
                              va="center", fontsize=NOTE_PT, color=look.colour)  # fmt: skip
    base = factor * rows.loc[rows["arm"] == BASE, "value"]
    if len(base):
        axes.axvline(base.mean(), color=COLOURS[0], linewidth=0.7, linestyle=(0, (1, 1.6)))
    axes.set_yticks(range(len(tables.arms)), tables.arms, fontsize=NOTE_PT)
    axes.set_ylim(len(tables.arms) - 0.5, -0.5)
    place = axes.get_position()
    axes.set_position((place.x0 + 0.085, place.y0, place.width - 0.085, place.height))
    axes.grid(visible=True, axis="x", color=GRID)
    axes.set_xlabel("accuracy (%)" if metric == "accuracy" else "cutoff (Hz)")
    if metric != "accuracy":
        axes.set_xscale("log", base=2)
        _hz_from_to(axes, "x")


def _in_order(n: int) -> list[tuple[float, float, float]]:
    """Colours of things in an order."""
    return depth_colours([float(k) for k in range(n)])


def _hz_from_to(axes: Axes, which: Literal["x", "y"]) -> None:
    """Octave ticks, two of them at least, so that small differences look small."""
    ends, widen = (
        (axes.get_xlim(), axes.set_xlim) if which == "x" else (axes.get_ylim(), axes.set_ylim)
    )
    low, high = (float(np.log2(end)) for end in ends)
    widen(2 ** min(low, np.floor(high) - 1), 2 ** max(high, np.ceil(low)))
    hz_axis(axes, which)


def _bare(look: Look) -> dict[str, Any]:
    """The line of a look without its markers."""
    return line_style(look) | {"marker": None}


def _span_axis(axes: Axes, spans_ms: "pd.Series[float]") -> None:
    axes.set_xscale("log")
    _ms_ticks(axes, spans_ms)
    axes.set_xlabel("mask span T (ms)")


def _ms_ticks(axes: Axes, values_ms: "pd.Series[float]") -> None:
    axes.set_xticks(sorted(values_ms.unique()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
