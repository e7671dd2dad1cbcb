"""The collapse study's tables as its figure and its report need them. Pure functions of the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from probe_bench.errors import UserError
from probe_bench.reports.step_axis import HEALTHY
from probe_bench.reports.tables import (
    BEST,
    TWIN_PREFIX,
    Panel,
    headline_panels,
    layer_rows,
    name_series,
)
from probe_bench.rows import read_rows

__all__ = ["MONITORS", "Alarm", "ArmFinding", "Probe", "arm_findings", "read_study", "twin_scores"]

MONITORS: Mapping[str, str] = {
    "loss": "loss",
    "std_batch": "std between clips",
    "std_time": "std within clips",
    "std_lowest": "std weakest dims",
    "rank_encoder": "rank encoder",
    "rank_stem": "rank front end",
    "rank_teacher": "rank teacher",
    "teacher_cosine": "teacher cosine",
    "verdict": "verdict",
}
"""Columns of the figure, in their order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """When a monitor raised its alarm in the trainings of one arm.

    Attributes:
        step: The earliest over seeds; None if no seed has one.
        seeds: Trainings with an alarm.
        of: Trainings.
    """

    step: int | None
    seeds: int
    of: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """Mean score of one task at the last layer over seeds, in percent, with every seed's."""

    mean: float
    scores: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmFinding:
    """What became of one arm.

    Attributes:
        name: The arm.
        group: Question that it belongs to.
        parent: What it differs from.
        switch: By what.
        verdicts: Of every seed, at the end.
        alarms: By monitor; monitors that the arm does not have are not there.
        change: Last over untrained value of every monitor that has one, averaged over seeds.
        probes: By task.
    """

    name: str
    group: str
    parent: str
    switch: str
    verdicts: tuple[str, ...]
    alarms: Mapping[str, Alarm]
    change: Mapping[str, float]
    probes: Mapping[str, Probe] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The seeds' verdict, or the first that is not healthy where they differ."""
        sick = [verdict for verdict in self.verdicts if verdict != HEALTHY]
        return sick[0] if sick else HEALTHY

    @property
    def first(self) -> tuple[str, ...]:
        """Monitors with the earliest alarm; the verdict is made of them and does not compete."""
        steps = {
            monitor: alarm.step
            for monitor, alarm in self.alarms.items()
            if alarm.step is not None and monitor != "verdict"
        }
        return tuple(m for m, step in steps.items() if step == min(steps.values()))


def read_study(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read `collapse.csv` and, if the encoders were probed, the probes' rows.

    Raises:
        UserError: If a table is missing or not what `study collapse` writes.
    """
    path = folder / "collapse.csv"
    if not path.is_file():
        raise UserError(f"{path}: not there; expected in a folder that `study collapse` wrote")
    table = pd.read_csv(path, keep_default_na=False, na_values={"alarm_step": [""]})
    probes = folder / "probes" / "results.csv"
    return table, name_series(read_rows(probes)) if probes.exists() else None


def arm_findings(table: pd.DataFrame, probes: pd.DataFrame | None) -> list[ArmFinding]:
    """Bring the seeds of every arm together, in the order of the rows."""
    return [_finding(str(name), rows, probes) for name, rows in table.groupby("arm", sort=False)]


def _finding(name: str, rows: pd.DataFrame, probes: pd.DataFrame | None) -> ArmFinding:
    head = rows.iloc[0]
    numbers = rows.assign(ratio=pd.to_numeric(rows["last"]) / pd.to_numeric(rows["untrained"]))
    change = numbers.groupby("monitor")["ratio"].mean().dropna()
    return ArmFinding(
        name=name,
        group=str(head["group"]),
        parent=str(head["parent"]),
        switch=str(head["switch"]),
        verdicts=tuple(rows.drop_duplicates("seed")["verdict"]),
        alarms={
            monitor: _alarm(mine)
            for monitor in MONITORS
            if len(mine := rows[rows["monitor"] == monitor])
        },
        change={str(monitor): float(ratio) for monitor, ratio in change.items()},
        probes={} if probes is None else _probes(probes, list(rows["folder"].unique())),
    )


def _alarm(rows: pd.DataFrame) -> Alarm:
    steps = rows["alarm_step"].dropna()
    return Alarm(step=int(steps.min()) if len(steps) else None, seeds=len(steps), of=len(rows))


def _probes(probes: pd.DataFrame, encoders: Sequence[str]) -> dict[str, Probe]:
    found = {}
    for panel in headline_panels(probes):
        scores = tuple(_last_layer(panel, probes, encoder) for encoder in encoders)
        found[panel.task] = Probe(mean=float(np.mean(scores)), scores=scores)
    return found


def _last_layer(panel: Panel, probes: pd.DataFrame, encoder: str) -> float:
    """Score of an encoder's last layer, in percent."""
    rows = panel.of(probes)
    layers = layer_rows(rows[rows["layer"] != BEST], encoder)
    return float(layers["value"].iloc[-1]) * 100 if len(layers) else float("nan")


def twin_scores(probes: pd.DataFrame | None) -> dict[str, float]:
    """Score of the untrained encoder's last layer on every task, in percent."""
    if probes is None:
        return {}
    twins = [name for name in probes["name"].unique() if str(name).startswith(TWIN_PREFIX)]
    return {
        panel.task: _last_layer(panel, probes, str(twins[0]))
        for panel in headline_panels(probes)
        if twins
    }
