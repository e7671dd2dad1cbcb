"""The collapse study as one figure: who collapses, who told first, what it costs, and the theory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from probe_bench.reports.collapse_data import (
    MONITORS,
    ArmFinding,
    arm_findings,
    read_study,
    twin_scores,
)
from probe_bench.reports.step_axis import draw_steps, log_ticks, verdict_looks
from probe_bench.reports.style import COLOURS, GRID, INK, house_style
from probe_bench.reports.training import read_log

__all__ = ["draw_collapse", "draw_matrix"]

_WIDTH_IN, _ROW_IN, _LABEL_IN, _VERDICT_IN, _CELL_IN = 7.2, 0.165, 1.95, 0.72, 0.36
_EARLY, _LATE = np.array([0.835, 0.369, 0.0]), np.array([1.0, 0.93, 0.87])
_SHOWN_RUNS = (
    "base",
    "no stop-gradient",
    "no stop-gradient, SIGReg",
    "no stop-gradient, targets by channel",
)


def draw_collapse(folder: Path) -> Path:
    """Draw `collapse.png` and `collapse.pdf` from the tables of a study's folder.

    Raises:
        UserError: If a table is missing.
    """
    table, probes = read_study(folder)
    findings = arm_findings(table, probes)
    linear = pd.read_csv(folder / "linear.csv")
    with house_style():
        figure = _figure(folder, table, findings, twin_scores(probes), linear)
        path = folder / "collapse.png"
        figure.savefig(path, metadata={"Software": None})
        figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    return path


def _figure(
    folder: Path,
    table: pd.DataFrame,
    findings: Sequence[ArmFinding],
    twins: dict[str, float],
    linear: pd.DataFrame,
) -> Figure:
    """Lay the panels out: the table of alarms with the probes, then curves, then the linear case."""
    rows_in = _ROW_IN * len(findings)
    height_in = 0.95 + rows_in + 0.8 + 2.1 + 1.1 + 0.45
    figure = Figure(figsize=(_WIDTH_IN, height_in))

    def place(left: float, top: float, width: float, height: float) -> Axes:
        box = (left, height_in - top - height, width, height)
        x, y, w, h = np.array(box) / np.array((_WIDTH_IN, height_in) * 2)
        return figure.add_axes((x, y, w, h))

    figure.text(
        0.1 / _WIDTH_IN, 1 - 0.12 / height_in,
        "step of every monitor's first alarm\nframed: the first to tell\n"
        "*: not in every seed\n·: no alarm;  empty: no such monitor",
        va="top", fontsize=6.5, linespacing=1.4,
    )  # fmt: skip
    matrix_in = _VERDICT_IN + _CELL_IN * len(MONITORS)
    draw_matrix(place(_LABEL_IN, 0.95, matrix_in, rows_in), findings, int(table["steps"].max()))
    if twins:
        left = _LABEL_IN + matrix_in + 0.1
        _draw_probes(place(left, 0.95, _WIDTH_IN - left - 0.12, rows_in), findings, twins)
    top = 0.95 + rows_in + 0.8
    runs = [finding for finding in findings if finding.name in _SHOWN_RUNS]
    for number, column in enumerate(("loss", "std_time", "rank_encoder")):
        axes = place(0.5 + 2.32 * number, top, 1.9, 1.2)
        _draw_runs(axes, folder, table, runs, column, legend=number == 0)
    arms = list(linear["arm"].unique())
    for number, arm in enumerate(arms):
        axes = place(0.5 + 1.72 * number, top + 2.1, 1.4, 1.1)
        _draw_linear(axes, linear[linear["arm"] == arm], arm, labelled=number == 0)
    return figure


def draw_matrix(axes: Axes, findings: Sequence[ArmFinding], steps: int) -> None:
    """Rows of arms: the verdict at the end, then the step of every monitor's first alarm."""
    axes.set_xlim(0, _VERDICT_IN + _CELL_IN * len(MONITORS))
    axes.set_ylim(len(findings), 0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    looks = verdict_looks([finding.verdict for finding in findings])
    for row, finding in enumerate(findings):
        chip = Rectangle(
            (0.03, row + 0.12), _VERDICT_IN - 0.08, 0.76, color=looks[finding.verdict].colour
        )
        axes.add_patch(chip)
        axes.text(_VERDICT_IN / 2 - 0.01, row + 0.52, _verdict(finding), ha="center", va="center",
                  fontsize=6)  # fmt: skip
        for place, monitor in enumerate(MONITORS):
            _draw_cell(axes, finding, monitor, _VERDICT_IN + _CELL_IN * place, row, steps)
        if row and finding.group != findings[row - 1].group:
            axes.axhline(row, color=INK, linewidth=0.5)
    centres = [_VERDICT_IN + _CELL_IN * (place + 0.5) for place in range(len(MONITORS))]
    axes.xaxis.tick_top()
    axes.set_xticks([_VERDICT_IN / 2, *centres], ["verdict at the end", *MONITORS.values()])
    for label in axes.get_xticklabels():
        label.set(rotation=38, ha="left", rotation_mode="anchor", fontsize=6.5)
    places = [row + 0.5 for row in range(len(findings))]
    axes.set_yticks(places, [finding.name for finding in findings], fontsize=6.5)
    axes.tick_params(length=0)


def _verdict(finding: ArmFinding) -> str:
    """The verdict, with the number of seeds where they differ."""
    share = sum(verdict == finding.verdict for verdict in finding.verdicts)
    whole = len(finding.verdicts)
    return finding.verdict + (f" {share}/{whole}" if share < whole else "")


def _draw_cell(
    axes: Axes, finding: ArmFinding, monitor: str, left: float, row: int, steps: int
) -> None:
    centre = (left + _CELL_IN / 2, row + 0.52)
    alarm = finding.alarms.get(monitor)
    if alarm is None:
        return
    if alarm.step is None:
        axes.text(*centre, "·", ha="center", va="center", fontsize=6, color="#9a9ca4")
        return
    share = min(1.0, alarm.step / steps)
    colour = _EARLY + (_LATE - _EARLY) * share**0.7
    told_first = monitor in finding.first
    axes.add_patch(
        Rectangle(
            (left + 0.015, row + 0.06), _CELL_IN - 0.03, 0.88, facecolor=colour,
            edgecolor=INK if told_first else "none", linewidth=0.9,
        )
    )  # fmt: skip
    star = "" if alarm.seeds == alarm.of else "*"
    axes.text(*centre, f"{alarm.step}{star}", ha="center", va="center", fontsize=6,
              fontweight="bold" if told_first else "normal")  # fmt: skip


def _draw_probes(axes: Axes, findings: Sequence[ArmFinding], twins: dict[str, float]) -> None:
    """Scores at the last layer beside the rows, every seed a point, the untrained encoder a line."""
    for (task, level), colour, marker in zip(twins.items(), COLOURS, "os^D", strict=False):
        axes.axvline(level, color=colour, linewidth=0.9, linestyle=(0, (1, 1.6)))
        for row, finding in enumerate(findings):
            scores = finding.probes[task].scores
            axes.plot(scores, [row + 0.5] * len(scores), marker, color=colour, markersize=2.8,
                      label=task if row == 0 else None)  # fmt: skip
    axes.set_ylim(len(findings), 0)
    axes.set_yticks([row + 0.5 for row in range(len(findings))], [])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("last layer, accuracy (%)\ndotted: untrained", fontsize=6.5)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.05, 1.0), handletextpad=0.1)


def _draw_runs(
    axes: Axes,
    folder: Path,
    table: pd.DataFrame,
    runs: Sequence[ArmFinding],
    column: str,
    *,
    legend: bool,
) -> None:
    """Curves of a few arms over training, every seed a line."""
    for finding, colour in zip(runs, COLOURS, strict=False):
        for number, name in enumerate(table.loc[table["arm"] == finding.name, "folder"].unique()):
            log = read_log(folder / "arms" / str(name) / "log.csv")
            axes.plot(log["step"], log[column], color=colour, linewidth=0.9,
                      label=None if number else finding.name)  # fmt: skip
    draw_steps(axes, pd.Series([0, int(table["steps"].max())]))
    if column != "rank_encoder":
        axes.set_yscale("log")
        log_ticks(axes)
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(MONITORS[column])
    if legend:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.14), ncols=len(runs), borderaxespad=0,
            columnspacing=1.2, handlelength=1.4,
        )  # fmt: skip


def _draw_linear(axes: Axes, rows: pd.DataFrame, arm: str, *, labelled: bool) -> None:
    """Singular values of the linear encoder against the values that the theory gives."""
    for colour, (_, one) in zip(COLOURS, rows.groupby("seed"), strict=False):
        for _, mode in one.groupby("mode"):
            axes.plot(mode["step"], mode["value"], color=colour, linewidth=0.8)
    for limit in rows["limit"].unique():
        axes.axhline(limit, color=INK, linewidth=0.7, linestyle=(0, (1, 1.6)))
    axes.set_ylim(-0.05, 1.6)
    axes.set_xscale("log")
    axes.set_xlim(max(1, rows.loc[rows["step"] > 0, "step"].min()), rows["step"].max())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.set_title(arm, fontsize=7)
    axes.set_xlabel("step")
    axes.grid(color=GRID)
    if labelled:
        axes.set_ylabel("singular values", fontsize=6.5)
        axes.text(0, 1.24, "linear encoder by gradient descent; dotted: theory, every seed a colour",
                  transform=axes.transAxes, fontsize=7)  # fmt: skip
