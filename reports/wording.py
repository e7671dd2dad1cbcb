"""Results in plain words: verdicts against baselines and the sentences of the summary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from probe_bench.reports.comparisons import LEVEL
from probe_bench.reports.metrics import Score, metric_text
from probe_bench.reports.tables import ANALYSIS, Headline, headlines, layer_rows, score_of, subjects

__all__ = [
    "Finding",
    "Verdict",
    "cutoff_sentence",
    "cutoff_span",
    "findings",
    "verdict",
]

Verdict = Literal["beats", "cannot be told from", "is below"]

BASELINES = {"random": "its random twin", "logmel": "log-mel"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What the rows show about one encoder, in words.

    Attributes:
        name: Encoder as displayed.
        verdicts: Against its random twin and log-mel, a clause each; the encoder is the subject.
        layers: Best layer and score of every task.
        cutoff: How fast its first and last layer can follow.
    """

    name: str
    verdicts: str
    layers: str
    cutoff: str


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


def findings(table: pd.DataFrame, tests: pd.DataFrame | None = None) -> list[Finding]:
    """Say what the rows and the paired tests show about every encoder under test."""
    found = headlines(table, tests)
    return [_finding(table, name, [h for h in found if h.name == name]) for name in subjects(table)]


def _finding(table: pd.DataFrame, name: str, mine: Sequence[Headline]) -> Finding:
    clauses = [_against(mine, role) for role in ("random", "logmel")]
    return Finding(
        name=name,
        verdicts="; ".join(clause for clause in clauses if clause),
        layers="; ".join(_best_layer(headline, mine) for headline in mine),
        cutoff=cutoff_sentence(table, name),
    )


def _best_layer(headline: Headline, mine: Sequence[Headline]) -> str:
    text = metric_text(headline.panel.metric)
    where = f" at {headline.layer}" if headline.layer else ""
    if headline.told.alike:
        where += f" ({', '.join(headline.told.alike)} cannot be told from it)"
    label = text.short or text.label
    return f"{_task(headline, mine)}{where}, {label} {text.full(headline.score)}"


def _task(headline: Headline, mine: Sequence[Headline]) -> str:
    """Name a task, with its corpus where it was measured on several."""
    task, corpus = headline.panel.task, headline.panel.corpus
    several = sum(other.panel.task == task for other in mine) > 1
    return f"{task} on {corpus}" if several else task


def _against(mine: Sequence[Headline], role: str) -> str:
    """Count the verdicts against one baseline and name the tasks of each."""
    tasks: dict[Verdict, list[str]] = {}
    for headline in mine:
        if role in headline.baselines:
            found = verdict(
                headline.score,
                headline.baselines[role],
                headline.panel.metric,
                headline.told.p.get(role),
            )
            if found is not None:
                tasks.setdefault(found, []).append(_task(headline, mine))
    total = sum(len(names) for names in tasks.values())
    order: tuple[Verdict, ...] = ("beats", "cannot be told from", "is below")
    clauses: list[str] = []
    for kind in (kind for kind in order if kind in tasks):
        whom = "it" if clauses else BASELINES[role]
        of = "" if clauses else f" of {total} {'task' if total == 1 else 'tasks'}"
        clauses.append(f"{kind} {whom} on {len(tasks[kind])}{of} ({', '.join(tasks[kind])})")
    return _join(clauses) if clauses else ""


def cutoff_span(table: pd.DataFrame, name: str) -> list[tuple[str, Score]]:
    """First and last layer whose support cutoff could be measured, with the cutoffs."""
    rows = table[(table["task"] == ANALYSIS) & (table["metric"] == "support_hz")]
    rows = layer_rows(rows, name).dropna(subset=["value"])
    ends = rows.iloc[[0, -1]] if len(rows) > 1 else rows
    return [(str(row["layer"]), score_of(row)) for _, row in ends.iterrows()]


def cutoff_sentence(table: pd.DataFrame, name: str) -> str:
    """How fast the first and the last layer can follow the sound."""
    text = metric_text("support_hz")
    ends = [f"{text.full(score)} at {layer}" for layer, score in cutoff_span(table, name)]
    return f"Support cutoff: {', '.join(ends)}." if ends else ""


def _join(words: Sequence[str]) -> str:
    """Join as `a, b and c`."""
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])
