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
    corpora,
    headlines,
    layer_rows,
    score_of,
    subjects,
)

__all__ = [
    "BASELINES",
    "SIGNS",
    "Against",
    "Cutoffs",
    "Finding",
    "Verdict",
    "cutoffs",
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
class Cutoffs:
    """How fast one encoder follows one corpus.

    Attributes:
        corpus: Empty where all were measured on one.
        support: Layer and support cutoff, of the first and the last layer that could be measured.
        emphasis: Emphasis cutoff of the last layer that has one.
    """

    corpus: str
    support: Sequence[tuple[str, Score]]
    emphasis: Score | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the rows show about one encoder.

    Attributes:
        name: Encoder as displayed.
        against: Verdicts by the role of the baseline, `random` and `logmel`; the best ones first.
        cutoffs: How fast it follows each corpus.
    """

    name: str
    against: Mapping[str, Sequence[Against]]
    cutoffs: Sequence[Cutoffs]

    @property
    def says_something(self) -> bool:
        """Whether there is any verdict or cutoff."""
        return bool(self.cutoffs) or any(self.against.values())


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
    return Finding(
        name=name,
        against={role: _against(mine, role) for role in ("random", "logmel")},
        cutoffs=cutoffs(table, name),
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


def cutoffs(table: pd.DataFrame, name: str) -> list[Cutoffs]:
    """Gather the cutoffs of one encoder, corpus by corpus; none where no layer could be measured."""
    rows = table[table["task"] == ANALYSIS]
    places = corpora(rows[rows["metric"] == SPEED])
    found = []
    for place in places:
        here = rows[rows["corpus"] == place]
        support, emphasis = (_measured(here, name, metric) for metric in (SPEED, EMPHASIS))
        if support:
            found.append(
                Cutoffs(
                    corpus=place if len(places) > 1 else "",
                    support=[support[0], support[-1]][: len(support)],
                    emphasis=emphasis[-1][1] if emphasis else None,
                )
            )
    return found


def _measured(rows: pd.DataFrame, name: str, metric: str) -> list[tuple[str, Score]]:
    """Layers with one metric of one encoder, by depth."""
    mine = layer_rows(rows[rows["metric"] == metric], name).dropna(subset=["value"])
    return [(str(row["layer"]), score_of(row)) for _, row in mine.iterrows()]
