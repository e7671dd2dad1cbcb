"""Which differences a run tests: encoders against baselines and each other, layers among themselves.

One question is one family of tests: all encoders against their twins (log-mel, chance) on one task, all
pairs of encoders on it, or all layers of one encoder against what its choice of layer gives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import torch

from probe_bench.comparison import compare
from probe_bench.lineup import Contestant, twin_of
from probe_bench.results import Stamp
from probe_bench.rows import Comparison, Question, logmel_beside
from probe_bench.scoring import Score

__all__ = ["Scored", "contrasts"]

_PICKED = "best"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One encoder's scores on one task; `None` is chance."""

    contestant: Contestant | None
    scores: Sequence[Score]

    @property
    def name(self) -> str:
        """Name as in the rows."""
        return self.contestant.name if self.contestant else ""


class _Side(NamedTuple):
    """One side of a comparison."""

    name: str
    score: Score


def contrasts(
    scored: Sequence[Scored], task: str, corpus: str, stamp: Stamp
) -> Iterator[Comparison]:
    """Test everything that is asked about one task on one corpus.

    Args:
        scored: Chance and every encoder.
        task: Its name.
        corpus: Its name.
        stamp: What every row carries.
    """
    encoders = [each for each in scored if each.contestant]
    measured = dict.fromkeys((s.probe, s.metric) for each in encoders for s in each.scores)
    for probe, metric in measured:
        for question, pairs in _questions(scored, probe, metric):
            if not pairs:
                continue
            first = torch.stack([one.score.replicates for one, _ in pairs])
            second = torch.stack([other.score.replicates for _, other in pairs])
            n_groups = pairs[0][0].score.n_groups
            found = compare(first, second, n_groups)
            for (one, other), difference in zip(pairs, found, strict=True):
                yield Comparison(
                    run_id=stamp.run_id,
                    question=question,
                    encoder=one.name,
                    layer=one.score.layer,
                    other=other.name,
                    other_layer=other.score.layer,
                    corpus=corpus,
                    task=task,
                    probe=probe,
                    metric=metric,
                    difference=difference.interval.value,
                    ci_low=difference.interval.low,
                    ci_high=difference.interval.high,
                    p=difference.p,
                    p_holm=difference.p_holm,
                    p_max_t=difference.p_max_t,
                    n_groups=n_groups,
                    seed=stamp.seed,
                )


def _questions(
    scored: Sequence[Scored], probe: str, metric: str
) -> Iterator[tuple[Question, list[tuple[_Side, _Side]]]]:
    """Yield every question about one probe and metric with the pairs that it asks about."""
    picked = {
        each.name: _Side(each.name, score)
        for each in scored
        for score in each.scores
        if score.metric == metric
        and (not each.contestant or (score.probe == probe and score.layer == _PICKED))
    }
    subjects = [
        each.contestant
        for each in scored
        if each.contestant and each.contestant.role == "subject" and each.name in picked
    ]
    baselines: dict[Question, list[str]] = {
        "twin": [twin_of(subject.name) for subject in subjects],
        "logmel": [_logmel_of(subject, scored) for subject in subjects],
        "chance": ["" for _ in subjects],
    }
    for question, others in baselines.items():
        names = zip(subjects, others, strict=True)
        yield question, [(picked[s.name], picked[o]) for s, o in names if o in picked]
    yield "encoder", [(picked[a.name], picked[b.name]) for a, b in combinations(subjects, 2)]
    for each in scored:
        if each.contestant in subjects:
            best = picked[each.name]
            layers = [s for s in each.scores if (s.probe, s.metric) == (probe, metric)]
            yield (
                "layer",
                [(_Side(each.name, s), best) for s in layers if not _same(s, best.score)],
            )


def _same(score: Score, best: Score) -> bool:
    """Say whether a layer's score is the picked one itself."""
    return torch.equal(score.replicates.nan_to_num(), best.replicates.nan_to_num())


def _logmel_of(subject: Contestant, scored: Sequence[Scored]) -> str:
    """Name the log-mel beside an encoder; `-` without one."""
    logmels = [s.contestant for s in scored if s.contestant and s.contestant.role == "logmel"]
    return logmel_beside(_fastest_hz(subject), {c.name: _fastest_hz(c) for c in logmels}) or "-"


def _fastest_hz(contestant: Contestant) -> float:
    return float(max(layer.frame_rate_hz for layer in contestant.layers))
