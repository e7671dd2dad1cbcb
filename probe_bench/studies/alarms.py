"""Which monitor told first: when each one crossed its own threshold for good."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

__all__ = ["PATIENCE", "THRESHOLDS", "Threshold", "alarms_of", "first_run"]

PATIENCE = 3
"""Rows in a row beyond a threshold that make an alarm; it is dated by the first of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """When a monitor raises its alarm.

    Attributes:
        monitor: Column of `log.csv`.
        level: Factor of the reference, or the value itself.
        reference: The untrained encoder's value, the first logged one, or none.
        above: Whether the alarm is above the threshold.
    """

    monitor: str
    level: float
    reference: Literal["untrained", "first", "none"]
    above: bool = False

    def limit(self, untrained: Mapping[str, float], first: float) -> float:
        """Return the threshold in the monitor's own unit."""
        match self.reference:
            case "untrained":
                return self.level * untrained[self.monitor]
            case "first":
                return self.level * first
            case "none":
                return self.level


THRESHOLDS = (
    Threshold(monitor="loss", level=0.1, reference="first"),
    *(
        Threshold(monitor=name, level=0.25, reference="untrained")
        for name in ("std_batch", "std_time", "std_lowest", "rank_encoder", "rank_stem")
    ),
    Threshold(monitor="rank_teacher", level=0.25, reference="untrained"),
    Threshold(monitor="teacher_cosine", level=0.99, reference="none", above=True),
)


def first_run(beyond: Sequence[bool], patience: int = PATIENCE) -> int | None:
    """Place where the first `patience` Trues in a row begin, or None.

    >>> first_run([True, False, True, True, True])
    2
    """
    run = 0
    for place, is_beyond in enumerate(beyond):
        run = run + 1 if is_beyond else 0
        if run == patience:
            return place - patience + 1
    return None


def alarms_of(
    log: pd.DataFrame, untrained: Mapping[str, float], patience: int = PATIENCE
) -> pd.DataFrame:
    """Find every monitor's first alarm in a training's log.

    Returns:
        A row for each monitor that the log has, and one for `verdict`: `monitor`, `untrained`,
        `last` (value of the last row), `threshold` and `alarm_step` (missing without an alarm).
    """
    rows: list[dict[str, object]] = []
    for rule in THRESHOLDS:
        if rule.monitor not in log.columns:
            continue
        values = log[rule.monitor].to_numpy(float)
        limit = rule.limit(untrained, values[0])
        beyond = values > limit if rule.above else values < limit
        rows.append(
            {
                "monitor": rule.monitor,
                "untrained": untrained.get(rule.monitor, np.nan),
                "last": values[-1],
                "threshold": limit,
                "alarm_step": _step(log, first_run(beyond.tolist(), patience)),
            }
        )
    sick = (log["verdict"] != "healthy").tolist()
    rows.append({"monitor": "verdict", "alarm_step": _step(log, first_run(sick, patience))})
    return pd.DataFrame(rows)


def _step(log: pd.DataFrame, place: int | None) -> float:
    return np.nan if place is None else float(log["step"].iloc[place])
