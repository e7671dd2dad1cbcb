"""Paired tests as the report uses them: what an encoder's result can be told from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from probe_bench.reports.metrics import metric_text

__all__ = ["LEVEL", "Told", "basis", "told"]

LEVEL = 0.05
_ROLES = {"twin": "random", "logmel": "logmel", "chance": "chance"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the tests say about one encoder on one task.

    Attributes:
        p: Adjusted p-value of the difference from a baseline, by its role.
        alike: Layers that were compared with the picked one and cannot be told from it.
        among_best: Whether no other encoder was found to be better; None if there was no other.
    """

    p: Mapping[str, float] = field(default_factory=dict)
    alike: tuple[str, ...] = ()
    among_best: bool | None = None


def basis(tests: pd.DataFrame | None) -> str:
    """Say what verdicts rest on."""
    if tests is None or tests.empty:
        return "by whether 95 % intervals overlap"
    return "paired test at 5 %, max-T over the encoders"


def told(tests: pd.DataFrame, encoder: str, metric: str) -> Told:
    """Collect what was tested about one encoder.

    Args:
        tests: Comparisons of one run, task, corpus, probe and metric.
        encoder: Name as in the rows.
        metric: What the differences are of.
    """
    tests = tests.dropna(subset=["p_max_t"])
    own = tests[tests["encoder"] == encoder]
    baselines = own[own["question"].isin(list(_ROLES))]
    layers = own[(own["question"] == "layer") & (own["p_max_t"] >= LEVEL)]
    pairs = tests[tests["question"] == "encoder"]
    pairs = pairs[(pairs["encoder"] == encoder) | (pairs["other"] == encoder)]
    sign = (pairs["encoder"] == encoder).map({True: 1, False: -1})
    if metric_text(metric).lower_is_better:
        sign = -sign
    beaten = (pairs["difference"] * sign < 0) & (pairs["p_max_t"] < LEVEL)
    return Told(
        p=dict(zip(baselines["question"].map(_ROLES), baselines["p_max_t"], strict=True)),
        alike=tuple(layers["layer"]),
        among_best=None if pairs.empty else not beaten.any(),
    )
