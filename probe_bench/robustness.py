"""How well clean probes read degraded test audio: scores by severity, and the area under them.

For one kind of degradation, with score s_k at severity k of K (equal steps on the kind's axis),

    area  = (1 / K) sum_k s_k                       in units of the metric
    share = (area - chance) / (clean - chance)      1: nothing lost, 0: all that was above chance

Both are formed replicate by replicate: clean, degraded and chance scores stand on the same resamples,
so intervals and tests know what they have in common. The share is left open where the clean score
cannot be told from chance by the interval of their difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.bootstrap import interval
from probe_bench.degradations import Degradation
from probe_bench.metrics import LOWER_IS_BETTER
from probe_bench.probes.stitching import BEST
from probe_bench.scoring import Score

__all__ = ["AREA", "SHARE", "Robustness", "chance_areas", "robustness", "split_of"]

AREA, SHARE = "robustness_area", "robustness_share"
"""Metrics are called `AREA:KIND:METRIC`."""


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Scores of one encoder on one task under degradations.

    Attributes:
        scores: By split (`test+KIND`): one a severity and clean score, then areas and shares.
    """

    scores: Mapping[str, Sequence[Score]]

    @property
    def picked(self) -> list[Score]:
        """Areas and shares at the layer picked on clean validation data: what is compared."""
        every = (score for scores in self.scores.values() for score in scores)
        return [s for s in every if s.layer == BEST and s.metric.startswith((AREA, SHARE))]


def split_of(kind: str) -> str:
    """Name the part of a corpus that was scored: degraded test clips."""
    return f"test+{kind}"


def robustness(
    clean: Sequence[Score],
    degraded: Sequence[tuple[Degradation, Sequence[Score]]],
    chance: Sequence[Score],
) -> Robustness:
    """Put together what one encoder's probes make of degraded audio.

    Args:
        clean: Scores of the test clips as they are.
        degraded: The same scores under each degradation, severities of a kind in a row.
        chance: Scores without features.
    """
    guesses = {score.metric: score for score in chance}
    scores: dict[str, list[Score]] = {}
    for kind, group in groupby(degraded, lambda pair: pair[0].kind):
        points = list(group)
        own = scores.setdefault(split_of(kind.name), [])
        own += [_labelled(s, degradation.setting) for degradation, found in points for s in found]
        severities = "|".join(f"{degradation.severity:g}" for degradation, _ in points)
        for score, *under in zip(clean, *(found for _, found in points), strict=True):
            labelled = _labelled(score, f"{kind.axis}={severities}")
            own += _summaries(labelled, under, guesses.get(score.metric), kind.name)
    return Robustness(scores=scores)


def chance_areas(chance: Sequence[Score], degraded: Sequence[Degradation]) -> Iterator[Score]:
    """Chance under every kind: no degradation changes a guess that does not look."""
    for kind in dict.fromkeys(degradation.kind.name for degradation in degraded):
        for score in chance:
            yield replace(score, metric=f"{AREA}:{kind}:{score.metric}")


def _labelled(score: Score, setting: str) -> Score:
    """Add the severity to a score's setting, always as its last pair."""
    return replace(score, setting=";".join(filter(None, (score.setting, setting))))


def _summaries(
    clean: Score, degraded: Sequence[Score], chance: Score | None, kind: str
) -> Iterator[Score]:
    """Area under the degradation curve and the share of the clean score above chance."""
    area = torch.stack([score.replicates for score in degraded]).mean(0)
    yield _with(clean, f"{AREA}:{kind}:{clean.metric}", area)
    if chance is not None:
        share = _share(clean, area, chance)
        yield _with(clean, f"{SHARE}:{kind}:{clean.metric}", share)


def _share(clean: Score, area: Float[Tensor, " rows"], chance: Score) -> Float[Tensor, " rows"]:
    gained = clean.replicates - chance.replicates
    found = interval(-gained if clean.metric in LOWER_IS_BETTER else gained, clean.n_groups)
    above = found.value is not None and (found.value if found.low is None else found.low) > 0
    return (area - chance.replicates) / gained if above else torch.full_like(area, torch.nan)


def _with(score: Score, metric: str, replicates: Float[Tensor, " rows"]) -> Score:
    found = interval(replicates, score.n_groups)
    return replace(
        score,
        metric=metric,
        value=found.value,
        ci_low=found.low,
        ci_high=found.high,
        replicates=replicates,
    )
