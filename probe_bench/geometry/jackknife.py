"""95 % intervals by leaving out one part of the independent units at a time.

Ranks and similarities are no means over clusters: a bootstrap that draws a speaker twice makes pairs
of equal frames, which lower a rank and raise a similarity. A jackknife only leaves out. The units are
dealt into at most ten parts of about equal size (the delete-a-group jackknife, Kott 2001, Journal of
Official Statistics 17), so that a rank costs ten more spectra, however many speakers there are:

    variance = (G - 1) / G · Σ_g (θ_g - mean θ)²,   interval = θ ± t_{.975, G-1} · √variance,

with θ on a scale where it has no bounds. Fewer than three units have no interval.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int, Num
from scipy import stats
from torch import Tensor

from probe_bench.bootstrap import Interval

__all__ = ["Scale", "deal", "interval", "leave_out"]

Scale = Literal["identity", "log", "fisher"]
_PARTS = 10
_FEWEST = 3


def deal(group: Int[Tensor, " clips"]) -> Int[Tensor, " clips"]:
    """Deal groups into at most ten parts with about as many clips, the largest group first."""
    sizes = torch.bincount(group)
    part_of, filled = torch.zeros_like(sizes), torch.zeros(min(_PARTS, len(sizes)))
    for g in sizes.argsort(descending=True, stable=True).tolist():
        part_of[g] = filled.argmin()
        filled[part_of[g]] += sizes[g]
    return part_of[group]


def leave_out(parts: Num[Tensor, " parts *rest"]) -> Num[Tensor, " replicates *rest"]:
    """Sum over all parts (row 0), then over all but each of them; of one part there is the sum alone."""
    total = parts.sum(0, keepdim=True)
    return torch.cat([total, total - parts]) if len(parts) > 1 else total


def interval(replicates: Float[Tensor, " replicates"], scale: Scale = "identity") -> Interval:
    """Turn an estimate (row 0) and those without each part (the rest) into a 95 % interval.

    Args:
        replicates: Estimates; NaN where undefined.
        scale: Where the estimate is taken to be normal: `log` of a positive number, `fisher`
            (inverse hyperbolic tangent) of a correlation.
    """
    values = replicates.double().cpu()
    value, n = float(values[0]), len(values) - 1
    if not torch.isfinite(values[0]):
        return Interval(value=None, low=None, high=None)
    freed = {"identity": values, "log": values.log(), "fisher": values.atanh()}[scale]
    if n < _FEWEST or not torch.isfinite(freed).all():
        return Interval(value=value, low=None, high=None)
    error = ((n - 1) / n * (freed[1:] - freed[1:].mean()).square().sum()).sqrt()
    half = float(stats.t.ppf(0.975, n - 1)) * error
    ends = torch.stack([freed[0] - half, freed[0] + half])
    low, high = {"identity": ends, "log": ends.exp(), "fisher": ends.tanh()}[scale].tolist()
    return Interval(value=value, low=low, high=high)
