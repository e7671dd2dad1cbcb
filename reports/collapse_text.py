"""The collapse study in words: the console's table and `report.md`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from probe_bench.reports.collapse_data import (
    MONITORS,
    ArmFinding,
    arm_findings,
    read_study,
    twin_scores,
)
from probe_bench.reports.step_axis import HEALTHY

__all__ = ["console_table", "write_report"]

_HOW = """\
Every arm is one training that differs from its parent by the named switch alone; all arms of a seed \
start from the same encoder weights and see the same clips under the same masks. The step is that of \
a monitor's first alarm: the first of three rows in a row beyond its threshold. Thresholds: loss, a tenth \
of its first logged value; spreads and ranks, a quarter of the untrained encoder's; teacher cosine, above 0.99; \
verdict, anything but healthy. A number with a star is an alarm that not every seed had; the bold one told first.
"""

_PROBES = """\
Accuracy of linear probes at the last layer in percent, mean over seeds; and spread and rank at the \
end of training over the untrained encoder's:
"""


def console_table(folder: Path) -> Table:
    """Return one line an arm: the verdict, who told first, and what the probes still read."""
    table, probes = read_study(folder)
    twins = twin_scores(probes)
    shown = Table(box=None, pad_edge=False)
    for column in ("arm", "verdict", "first alarm", "step", *twins):
        shown.add_column(column, justify="left" if column in ("arm", "verdict") else "right")
    for finding in arm_findings(table, probes):
        shown.add_row(
            finding.name,
            _verdicts(finding),
            ", ".join(MONITORS[monitor] for monitor in finding.first) or "none",
            _first_step(finding),
            *(f"{finding.probes[task].mean:.1f}" for task in twins),
        )
    if twins:
        shown.add_row("untrained", "", "", "", *(f"{score:.1f}" for score in twins.values()))
    return shown


def write_report(folder: Path) -> Path:
    """Write `report.md` beside the figure: how to read it, all alarms, all probes.

    Raises:
        UserError: If a table is missing.
    """
    table, probes = read_study(folder)
    findings, twins = arm_findings(table, probes), twin_scores(probes)
    parts = [
        "# Collapse study",
        f"{len(findings)} arms, {table['steps'].max()} steps each, seeds: {table['seed'].nunique()}.",
        "![The study as a figure](collapse.png)",
        _HOW,
        _alarm_table(findings),
    ]
    if twins:
        parts += [
            _PROBES,
            _probe_table(findings, twins),
        ]
    path = folder / "report.md"
    path.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    return path


def _alarm_table(findings: Sequence[ArmFinding]) -> str:
    rows = [["arm", "differs from", "by", "verdict at the end", *MONITORS.values()]]
    for finding in findings:
        cells = [_cell(finding, monitor) for monitor in MONITORS]
        rows.append([finding.name, finding.parent, finding.switch, _verdicts(finding), *cells])
    return _markdown(rows)


def _probe_table(findings: Sequence[ArmFinding], twins: Mapping[str, float]) -> str:
    spreads = ("std_batch", "std_time", "rank_encoder")
    rows = [["arm", *twins, *(MONITORS[name] for name in spreads)]]
    for finding in findings:
        scores = [f"{finding.probes[task].mean:.1f}" for task in twins]
        ratios = [f"{finding.change[name]:.2f}" for name in spreads]
        rows.append([finding.name, *scores, *ratios])
    rows.append(["untrained", *(f"{score:.1f}" for score in twins.values()), "", "", ""])
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _cell(finding: ArmFinding, monitor: str) -> str:
    alarm = finding.alarms.get(monitor)
    if alarm is None:
        return ""
    if alarm.step is None:
        return "·"
    text = f"{alarm.step}{'' if alarm.seeds == alarm.of else '*'}"
    return f"**{text}**" if monitor in finding.first else text


def _first_step(finding: ArmFinding) -> str:
    return str(finding.alarms[finding.first[0]].step) if finding.first else ""


def _verdicts(finding: ArmFinding) -> str:
    """Name the seeds' verdicts, each once, with its number where they differ."""
    counts = {verdict: finding.verdicts.count(verdict) for verdict in finding.verdicts}
    if len(counts) == 1:
        return next(iter(counts), HEALTHY)
    return ", ".join(f"{verdict} ({count})" for verdict, count in counts.items())
