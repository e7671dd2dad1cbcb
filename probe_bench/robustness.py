"""How well clean probes read degraded test audio: scores by severity, and the area under them.

For one kind of degradation, with score s_k at severity k of K (equal steps on the kind's axis),

    area  = (1 / K) sum_k s_k                       in units of the metric
    share = (area - chance) / (clean - chance)      1: nothing lost, 0: all that was above chance

Clean, degraded and chance scores stand on the same resamples, so intervals and tests know what they
have in common. The share is left open where the clean score cannot be told from chance. Where the
severity is a modulation cutoff, the half rate is given as well (`timescale`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import cast

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from probe_bench.bootstrap import Interval, intervals
from probe_bench.degradations import Degradation
from probe_bench.metrics import BIASED, LOWER_IS_BETTER, SCALES
from probe_bench.probes.stitching import BEST
from probe_bench.scoring import Score
from probe_bench.task import Metric
from probe_bench.timescale import HALF_RATE, half_rate

__all__ = ["AREA", "SHARE", "Robustness", "chance_areas", "robustness", "split_of"]

AREA, SHARE = "robustness_area", "robustness_share"
"""Metrics are called `AREA:KIND:METRIC`."""

_MODULATIONS = "mod_cutoff_hz"
"""Axis whose severities are modulation cutoffs."""


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Scores of one encoder on one task under degradations.

    Attributes:
        scores: By split (`test+KIND`): one a severity and clean score, then areas, shares and half rates.
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
            guess = guesses.get(score.metric)
            own += _summaries(labelled, under, guess, kind.name)
            if guess is not None and kind.axis == _MODULATIONS:
                own.append(_half_rate(labelled, under, guess, [d.severity for d, _ in points]))
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
    metric = cast("Metric", clean.metric)
    (found,) = intervals(area[None], clean.n_groups, SCALES[metric], biased=metric in BIASED)
    yield _with(clean, f"{AREA}:{kind}:{metric}", found, area)
    if chance is not None:
        kept, gained = (_above(chance, metric, x) for x in (area, clean.replicates))
        found, share = _share(kept, gained, clean.n_groups)
        yield _with(clean, f"{SHARE}:{kind}:{metric}", found, share)


def _half_rate(
    clean: Score, degraded: Sequence[Score], chance: Score, cutoffs_hz: Sequence[float]
) -> Score:
    """Modulation cutoff at which half of the clean score above chance is gone."""
    metric = cast("Metric", clean.metric)
    under = torch.stack([score.replicates for score in degraded])
    kept, gained = (_above(chance, metric, x) for x in (under, clean.replicates))
    found, draws = half_rate(kept, gained, cutoffs_hz, clean.n_groups)
    *probe, severities = clean.setting.split(";")
    said = f"bound={found.bound}" if found.bound else ""
    said = said if found.value else "reason=the clean score cannot be told from chance"
    return replace(
        clean,
        metric=f"{HALF_RATE}:{metric}",
        setting=";".join(filter(None, (*probe, said, severities))),
        value=found.value,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        replicates=draws,
        censored=found.censored,
    )


def _above(
    chance: Score, metric: Metric, replicates: Float[Tensor, "*some rows"]
) -> Float[Tensor, "*some rows"]:
    """Scores above chance, larger is better."""
    return (-1 if metric in LOWER_IS_BETTER else 1) * (replicates - chance.replicates)


def _share(
    kept: Float[Tensor, " rows"], gained: Float[Tensor, " rows"], n_clusters: int
) -> tuple[Interval, Float[Tensor, " rows"]]:
    """Ratio of two differences with Fieller's interval (1954, J. Royal Statistical Society B 16).

    It holds every share q at which kept - q gained, a plain difference, cannot be told from 0 by t
    with the repairs of `bootstrap`: the roots of a q^2 - 2 b q + c = 0 below. They have two ends if
    a > 0, where gained itself can be told from 0. Replicates are those of the ratio's tangent: near
    a denominator of 0 the resampled ratio has no spread to speak of.
    """
    n, d = float(kept[0]), float(gained[0])
    nowhere = torch.full_like(kept, torch.nan)
    spread = torch.cov(torch.stack([kept, gained])[:, 1:], correction=0)
    t = float(stats.t.ppf(0.975, n_clusters - 1)) if n_clusters > 1 else 0.0
    factor = t**2 * n_clusters / max(n_clusters - 1, 1)
    c, b, a = (
        product - factor * float(spread[i, j])
        for product, i, j in ((n * n, 0, 0), (n * d, 0, 1), (d * d, 1, 1))
    )
    if not (d > 0 and a > 0):
        return Interval(value=None, low=None, high=None), nowhere
    share = n / d
    tangent = share + ((kept - n) - share * (gained - d)) / d
    if n_clusters < 2:
        return Interval(value=share, low=None, high=None), tangent
    half = max(b * b - a * c, 0.0) ** 0.5
    return Interval(value=share, low=(b - half) / a, high=(b + half) / a), tangent


def _with(score: Score, metric: str, found: Interval, replicates: Float[Tensor, " rows"]) -> Score:
    return replace(
        score,
        metric=metric,
        value=found.value,
        ci_low=found.low,
        ci_high=found.high,
        replicates=replicates,
    )
