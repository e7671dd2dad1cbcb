"""Results in plain words: verdicts against baselines and the sentences of the summary."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from probe_bench.reports.metrics import Score, metric_text
from probe_bench.reports.tables import ANALYSIS, Headline, headlines, layer_rows, score_of, subjects

__all__ = [
    "BASELINES",
    "Verdict",
    "cutoff_sentence",
    "cutoff_span",
    "sentence",
    "sentences",
    "verdict",
]

Verdict = Literal["beats", "cannot be told from", "is below"]

BASELINES = {"random": "its random twin", "logmel": "log-mel", "chance": "chance"}


def verdict(score: Score, baseline: Score, metric: str) -> Verdict | None:
    """Compare two scores by whether their 95 % intervals overlap.

    Two overlapping intervals do not show that two scores are equal, so this errs on the side of
    not telling. None where either interval is missing or the metric has no better and worse.
    """
    text = metric_text(metric)
    ends = (score.low, score.high, baseline.low, baseline.high)
    if not text.ranked or any(end != end for end in ends):  # noqa: PLR0124  NaN differs from itself
        return None
    if score.low > baseline.high:
        return "is below" if text.lower_is_better else "beats"
    if score.high < baseline.low:
        return "beats" if text.lower_is_better else "is below"
    return "cannot be told from"


def sentences(table: pd.DataFrame) -> dict[str, str]:
    """One paragraph for every encoder under test."""
    found = headlines(table)
    return {
        name: sentence(name, [h for h in found if h.name == name], table)
        for name in subjects(table)
    }


def sentence(name: str, mine: Sequence[Headline], table: pd.DataFrame) -> str:
    """What the rows say about one encoder, in one paragraph."""
    parts = [_against(name, mine, role) for role in ("random", "logmel")]
    lead = [part for part in parts if part]
    best = "; ".join(_best_layer(headline) for headline in mine)
    cutoff = cutoff_sentence(table, name)
    return " ".join([*lead, *([f"Best layers: {best}."] if best else []), cutoff]).strip()


def _best_layer(headline: Headline) -> str:
    text = metric_text(headline.panel.metric)
    where = f" at {headline.layer}" if headline.layer else ""
    return f"{headline.panel.task}{where}, {text.full(headline.score)} {text.label}"


def _against(name: str, mine: Sequence[Headline], role: str) -> str:
    """Count the verdicts against one baseline and name the tasks of each."""
    tasks: dict[Verdict, list[str]] = {}
    for headline in mine:
        if role in headline.baselines:
            found = verdict(headline.score, headline.baselines[role], headline.panel.metric)
            if found is not None:
                tasks.setdefault(found, []).append(headline.panel.task)
    total = sum(len(names) for names in tasks.values())
    order: tuple[Verdict, ...] = ("beats", "cannot be told from", "is below")
    clauses = [
        f"{kind} {'it' if position else BASELINES[role]} on {_join(tasks[kind])}"
        for position, kind in enumerate(kind for kind in order if kind in tasks)
    ]
    if not clauses:
        return ""
    won = len(tasks.get("beats", []))
    return f"{name} {_join(clauses)} ({won} of {total} {'task' if total == 1 else 'tasks'})."


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
    return f"Supports modulations up to {' and '.join(ends)}." if ends else ""


def _join(words: Sequence[str]) -> str:
    """Join as `a, b and c`."""
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])
