"""Results in plain words: verdicts against baselines, and what they come to for every encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from probe_bench.reports.comparisons import LEVEL
from probe_bench.reports.metrics import Score, metric_text
from probe_bench.reports.tables import (
    ANALYSIS,
    EMPHASIS,
    SPEED,
    Headline,
    headlines,
    layer_rows,
    score_of,
    subjects,
)

__all__ = [
    "BASELINES",
    "SIGNS",
    "Against",
    "Finding",
    "Verdict",
    "cutoff_span",
    "findings",
    "verdict",
    "verdict_on",
]

Verdict = Literal["beats", "cannot be told from", "is below"]

SIGNS: Mapping[Verdict, str] = {"beats": "▲", "cannot be told from": "≈", "is below": "▼"}
BASELINES = {"random": "random twin", "logmel": "log-mel", "chance": "chance"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Against:
    """The tasks on which one verdict was found against one baseline."""

    verdict: Verdict
    tasks: Sequence[str]

    @property
    def sign(self) -> str:
        """The verdict as the page shows it."""
        return SIGNS[self.verdict]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the rows show about one encoder.

    Attributes:
        name: Encoder as displayed.
        against: Verdicts by the role of the baseline, `random` and `logmel`; the best ones first.
        cutoffs: Support cutoff and layer, of the first and the last layer that could be measured.
        emphasis: Emphasis cutoff of the last layer that has one; empty if none has.
    """

    name: str
    against: Mapping[str, Sequence[Against]]
    cutoffs: Sequence[tuple[str, str]]
    emphasis: str = ""


def verdict(score: Score, baseline: Score, metric: str, p: float | None = None) -> Verdict | None:
    """Compare two scores: by the paired test of their difference, else by their 95 % intervals.

    Two overlapping intervals do not show that two scores are equal, so without a test this errs on
    the side of not telling. None where either interval is missing or the metric has no better and
    worse.

    Args:
        score: Of the encoder.
        baseline: What it is compared with.
        metric: Name of the metric.
        p: Of the test, adjusted; None if there was none.
    """
    text = metric_text(metric)
    if p is not None and text.ranked:
        if p >= LEVEL:
            return "cannot be told from"
        return "is below" if (score.value < baseline.value) != text.lower_is_better else "beats"
    ends = (score.low, score.high, baseline.low, baseline.high)
    if not text.ranked or any(end != end for end in ends):  # noqa: PLR0124  NaN differs from itself
        return None
    if score.low > baseline.high:
        return "is below" if text.lower_is_better else "beats"
    if score.high < baseline.low:
        return "beats" if text.lower_is_better else "is below"
    return "cannot be told from"


def verdict_on(headline: Headline, role: str) -> Verdict | None:
    """Compare one headline with one of its baselines; None if it is not there or cannot be compared."""
    score = headline.baselines.get(role)
    if score is None:
        return None
    return verdict(headline.score, score, headline.panel.metric, headline.told.p.get(role))


def findings(table: pd.DataFrame, tests: pd.DataFrame | None = None) -> list[Finding]:
    """Say what the rows and the paired tests show about every encoder under test."""
    found = headlines(table, tests)
    return [_finding(table, name, [h for h in found if h.name == name]) for name in subjects(table)]


def _finding(table: pd.DataFrame, name: str, mine: Sequence[Headline]) -> Finding:
    text = metric_text(SPEED)
    emphasis = cutoff_span(table, name, EMPHASIS)[-1:]
    return Finding(
        name=name,
        against={role: _against(mine, role) for role in ("random", "logmel")},
        cutoffs=[
            (f"{text.number(score)}\u202f{text.unit}", layer)
            for layer, score in cutoff_span(table, name)
        ],
        emphasis="".join(f"{text.number(score)}\u202f{text.unit}" for _, score in emphasis),
    )


def _against(mine: Sequence[Headline], role: str) -> list[Against]:
    """Gather the tasks of each verdict against one baseline."""
    tasks: dict[Verdict, list[str]] = {kind: [] for kind in SIGNS}
    for headline in mine:
        found = verdict_on(headline, role)
        if found is not None:
            tasks[found].append(_task(headline, mine))
    return [Against(verdict=kind, tasks=names) for kind, names in tasks.items() if names]


def _task(headline: Headline, mine: Sequence[Headline]) -> str:
    """Name a task, with its corpus where it was measured on several."""
    task, corpus = headline.panel.task, headline.panel.corpus
    several = sum(other.panel.task == task for other in mine) > 1
    return f"{task} on {corpus}" if several else task


def cutoff_span(table: pd.DataFrame, name: str, metric: str = SPEED) -> list[tuple[str, Score]]:
    """First and last layer whose cutoff could be measured, with the cutoffs."""
    rows = table[(table["task"] == ANALYSIS) & (table["metric"] == metric)]
    rows = layer_rows(rows, name).dropna(subset=["value"])
    ends = rows.iloc[[0, -1]] if len(rows) > 1 else rows
    return [(str(row["layer"]), score_of(row)) for _, row in ends.iterrows()]
