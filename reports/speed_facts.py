"""How fast each encoder follows, read off the rows: the last block beside other layers and baselines."""

import math
from dataclasses import dataclass

import pandas as pd

from probe_bench.reports.layers import last_block
from probe_bench.reports.metrics import Score
from probe_bench.reports.settings import setting_text
from probe_bench.reports.tables import (
    ANALYSIS,
    SPEED,
    corpora,
    layer_rows,
    logmel_rows,
    score_of,
    subjects,
    twin_name,
)

__all__ = ["Reading", "SpeedFacts", "apart", "speed_facts"]

SUPPORT, EMPHASIS, PHONES = "support_total_hz", "emphasis_total_hz", "support_phones_total_hz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One cutoff with its systematic interval.

    Attributes:
        score: The cutoff in Hz.
        layer: Where it was read; empty if the encoder has one layer.
        reason: Why there is none; empty if there is one or nothing was said.
    """

    score: Score
    layer: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedFacts:
    """What is said of one encoder on one corpus.

    Attributes:
        name: Encoder as displayed.
        corpus: Empty where all were measured on one.
        support: Of the last block.
        span: Fastest and slowest layer, by depth, if any layer differs clearly from the last block.
        measured: The last layer that could be measured, if the last block could not.
        phones: Up to which rate phone classes are followed.
        emphasis: Up to which rate most of the variance responds.
        twin: Support of the random twin at that layer.
        twin_is: How the twin compares, if clearly: "faster" or "slower".
        logmel: Support of log-mel at the encoder's frame rate.
        logmel_rate_hz: That rate.
    """

    name: str
    support: Reading
    corpus: str = ""
    span: tuple[Reading, Reading] | None = None
    measured: Reading | None = None
    phones: Reading | None = None
    emphasis: Reading | None = None
    twin: Reading | None = None
    twin_is: str = ""
    logmel: Reading | None = None
    logmel_rate_hz: float = math.nan


def speed_facts(table: pd.DataFrame) -> list[SpeedFacts]:
    """Gather what there is to say of every encoder under test."""
    rows = table[table["task"] == ANALYSIS]
    places = corpora(rows[(rows["metric"] == SUPPORT) & (rows["role"] == "subject")])
    found = []
    for place in places:
        here = rows[rows["corpus"] == place]
        names = subjects(here[here["metric"] == SUPPORT])
        found += [_facts(here, name, place if len(places) > 1 else "") for name in names]
    return found


def _facts(rows: pd.DataFrame, name: str, corpus: str) -> SpeedFacts:
    layers = layer_rows(rows[rows["metric"] == SUPPORT], name)
    last = last_block(layers["layer"])
    support = _reading(rows, SUPPORT, name, last)
    beside = logmel_rows(rows[rows["metric"] == SUPPORT], name).iloc[:1]
    twin = twin_name(rows, name)
    measured = layers.dropna(subset=["value"])["layer"]
    return SpeedFacts(
        name=name,
        corpus=corpus,
        support=support if len(layers) > 1 else Reading(score=support.score, reason=support.reason),
        span=_span(rows, name, last),
        measured=None
        if support.score.measured or measured.empty
        else _reading(rows, SUPPORT, name, str(measured.iloc[-1])),
        phones=_there(rows, PHONES, name, last),
        emphasis=_there(rows, EMPHASIS, name, last),
        twin=_there(rows, SUPPORT, twin, last) if twin else None,
        twin_is=_compared(rows, twin, name, last) if twin else "",
        logmel=None if beside.empty else _read(beside.iloc[0]),
        logmel_rate_hz=math.nan if beside.empty else float(beside["frame_rate_hz"].iloc[0]),
    )


def _there(rows: pd.DataFrame, metric: str, name: str, layer: str) -> Reading | None:
    """Read one metric of one layer; None if it was not asked for."""
    mine = layer_rows(rows[rows["metric"] == metric], name)
    mine = mine[mine["layer"] == layer]
    return None if mine.empty else _read(mine.iloc[0])


def _reading(rows: pd.DataFrame, metric: str, name: str, layer: str) -> Reading:
    """Read one metric of one layer; without a number if it is not there."""
    return _there(rows, metric, name, layer) or Reading(score=Score(value=math.nan), layer=layer)


def _read(row: pd.Series) -> Reading:
    reason = setting_text(str(row["setting"]), "reason")
    return Reading(score=score_of(row), layer=str(row["layer"]), reason=reason)


def _span(rows: pd.DataFrame, name: str, last: str) -> tuple[Reading, Reading] | None:
    """Fastest and slowest layer from the input up; None if no layer differs clearly from the last block.

    Layers of one encoder share the estimator's own error, so their intervals are compared without it.
    """
    layers = layer_rows(rows[rows["metric"] == SPEED], name).dropna(subset=["value"])
    scores = {str(row["layer"]): score_of(row) for _, row in layers.iterrows()}
    if last not in scores or not any(apart(scores[last], score) for score in scores.values()):
        return None
    ends = {
        min(scores, key=lambda layer: scores[layer].value),
        max(scores, key=lambda layer: scores[layer].value),
    }
    first, second = (_reading(rows, SUPPORT, name, layer) for layer in scores if layer in ends)
    return first, second


def _compared(rows: pd.DataFrame, twin: str, name: str, layer: str) -> str:
    """Say whether the twin is clearly faster or slower at one layer; the shared error is left out."""
    theirs, own = (_reading(rows, SPEED, who, layer).score for who in (twin, name))
    if not apart(theirs, own):
        return ""
    return "faster" if theirs.value > own.value else "slower"


def apart(one: Score, other: Score) -> bool:
    """Say whether two intervals do not meet; an unknown end meets everything on its side."""
    if not (one.measured and other.measured):
        return False
    (low, high), (other_low, other_high) = _ends(one), _ends(other)
    return low > other_high or other_low > high


def _ends(score: Score) -> tuple[float, float]:
    low = score.low if math.isfinite(score.low) else 0.0
    return low, score.high if math.isfinite(score.high) else math.inf
