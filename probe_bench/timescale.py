"""How slow the modulations are that a score lives on: the cutoff at which half of it is gone.

With the score s_k under modulations low-passed at c_k, from mild to severe,

    m_k = (s_k - chance) - (clean - chance) / 2

is what is left beyond half of the score above chance. The half rate is the cutoff at which m is 0, on
straight lines between severities over octaves. A filter can only take away, so what rises again towards
severe is chance: m is first made to fall, by the nearest falling sequence (isotonic regression, Barlow
et al. 1972). Its crossing is the only one; the first and the last one of m itself lie on either side of it,
and either can be moved by octaves by one point.

Intervals are percentiles of the resamples, at a level that makes up for few clusters (Hesterberg 2015, The
American Statistician 69, section 4.2: t with √(G/(G-1)) for the normal). Resamples in which half is gone at
the mildest cutoff, or never, take part by their rank.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from probe_bench.bootstrap import interval
from probe_bench.modulation.cutoff import censored
from probe_bench.modulation.results import Estimate

__all__ = ["HALF_RATE", "half_rate", "half_rates_hz"]

HALF_RATE = "half_rate_hz"
"""Metrics are called `HALF_RATE:METRIC`."""


def half_rate(
    kept: Float[Tensor, "severities rows"],
    gained: Float[Tensor, " rows"],
    cutoffs_hz: Sequence[float],
    n_clusters: int,
) -> tuple[Estimate, Float[Tensor, " rows"]]:
    """Estimate the modulation cutoff at which half of a score above chance is gone.

    Args:
        kept: Score above chance at every cutoff, larger is better; column 0 is the sample, the others
            are resamples.
        gained: The same of clean audio.
        cutoffs_hz: Of the severities, falling.
        n_clusters: Independent units; fewer than two have no interval.

    Returns:
        The half rate, censored where half is gone at the mildest cutoff (`at least`) or is not at the
        severest (`at most`); open where the clean score cannot be told from chance. Then the same of
        the sample and every resample, as `half_rates_hz` has it; NaN where undefined.
    """
    told = interval(gained, n_clusters).low
    if not gained[0] > 0 or (told is not None and told <= 0):
        return Estimate(), torch.full_like(gained, torch.nan)
    draws, level = half_rates_hz(kept - gained / 2, cutoffs_hz), _level(n_clusters)
    known = draws[~draws.isnan()]
    found = censored(known, cutoffs_hz[-1], cutoffs_hz[0], level=level)
    return found if level else Estimate(value=found.value, bound=found.bound), draws


def half_rates_hz(
    beyond: Float[Tensor, "severities rows"], cutoffs_hz: Sequence[float]
) -> Float[Tensor, " rows"]:
    """Return where what is left beyond half falls through 0.

    Infinite where it lies below 0 from the mildest cutoff on, 0 where it never does, NaN where it is
    undefined at any cutoff.
    """
    falling = _falling(beyond)
    gone = falling < 0
    at = gone.int().argmax(0).clamp(min=1)
    before, after = (falling.gather(0, i[None])[0] for i in (at - 1, at))
    octaves = torch.tensor(cutoffs_hz, dtype=beyond.dtype).log2()
    share = before / (before - after)
    crossing = torch.exp2(octaves[at - 1] + share * (octaves[at] - octaves[at - 1]))
    crossing = torch.where(gone[-1], crossing, 0.0).where(~gone[0], torch.inf)
    return crossing.where(~beyond.isnan().any(0), torch.nan)


def _falling(values: Float[Tensor, "severities rows"]) -> Float[Tensor, "severities rows"]:
    """Return the falling sequence nearest by least squares, by its min-max formula.

    fit_k = min_{i <= k} max_{j >= k} mean(values_i ... values_j)
    """
    n = len(values)
    means = [[values[i : j + 1].mean(0) for j in range(n)] for i in range(n)]
    return torch.stack(
        [
            torch.stack([torch.stack(means[i][k:]).amax(0) for i in range(k + 1)]).amin(0)
            for k in range(n)
        ]
    )


def _level(n_clusters: int) -> float:
    """Level of the percentiles that holds the truth 95 % of the time; 0 for a single cluster."""
    if n_clusters < 2:
        return 0.0
    reach = stats.t.ppf(0.975, n_clusters - 1) * math.sqrt(n_clusters / (n_clusters - 1))
    return float(1 - 2 * stats.norm.sf(reach))
