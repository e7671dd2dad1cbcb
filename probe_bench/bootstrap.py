"""95 % intervals by a bootstrap over independent units (clusters: speakers or recordings).

Resamples depend on (seed, corpus, task, cluster ids) alone: every layer, probe and encoder scored on
the same clusters sees the same resamples, so their replicates are paired.

Interval of a value v whose resamples spread by s, over G clusters, on a scale g on which it has no edge:

    g(v) ± t_{.975, G-1} s √(G/(G-1)) g'(v)

The factor repairs what the plug-in variance misses, √((G-1)/G), and t the few clusters (Hesterberg
2015, The American Statistician 69, section 4.2); g is the logit for what lies between 0 and 1, the log
for ratios (capped for a detection cost, which rejecting every trial holds at 1), and nothing for
differences, which makes their interval the inverse of the test in `comparison`. s g'(v) is the spread
on that scale by the delta method; that of g itself would be ruled by the few resamples near the edge. A
value whose finite-sample bias is large (mean average precision) is corrected by that of its resamples,
on the same scale; the interval still holds the value.

At the edge (nothing wrong in any cluster) nothing spreads. Then the bound is that of the clusters as
all or nothing: a share q of clusters with errors would stay unseen with probability (1-q)^G, which is
2.5 % at q = 1 - .025^{1/G}. One cluster has no interval.

Measured coverage: `benchmarks/coverage.py`.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

__all__ = ["Interval", "Scale", "cluster_weights", "interval", "intervals", "limits"]

Scale = Literal["plain", "log", "capped log", "logit"]

_DRAWS = 1 << 22  # drawn at once (32 MB)


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A value with its 95 % interval; None where it could not be measured."""

    value: float | None
    low: float | None
    high: float | None


def cluster_weights(
    seed: int, corpus: str, task: str, clusters: Sequence[str], n_resamples: int = 2000
) -> Float[Tensor, "rows clusters"]:
    """Draw how often each cluster stands in each resample.

    Args:
        seed: Seed of the run.
        corpus: Name of the corpus.
        task: Name of the task.
        clusters: Distinct cluster ids, sorted.
        n_resamples: Resamples drawn.

    Returns:
        Counts (float64), `n_resamples + 1` rows; row 0 is all ones, the data themselves.
    """
    text = json.dumps([seed, corpus, task, list(clusters)])
    digest = hashlib.sha256(text.encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    n = len(clusters)
    sizes = np.diff([*range(0, n_resamples, max(_DRAWS // n, 1)), n_resamples])
    counts = [_draw(generator, n, int(size)) for size in sizes]
    return torch.from_numpy(np.concatenate([np.ones((1, n)), *counts]))


def _draw(generator: np.random.Generator, n: int, size: int) -> Int[np.ndarray, "size n"]:
    """Draw n of n, `size` times, and count; ten times as fast as `Generator.multinomial`."""
    drawn = generator.integers(0, n, (size, n)) + np.arange(size)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)


def interval(
    replicates: Float[Tensor, " rows"], n_clusters: int, scale: Scale = "plain"
) -> Interval:
    """Turn a metric's value (row 0) and its resamples (the rest) into a 95 % interval."""
    return intervals(replicates[None], n_clusters, scale)[0]


def intervals(
    replicates: Float[Tensor, "scores rows"],
    n_clusters: int,
    scale: Scale = "plain",
    *,
    biased: bool = False,
) -> list[Interval]:
    """Turn values (row 0) and their resamples (the rest) into 95 % intervals.

    Args:
        replicates: Resamples in which a metric is undefined (NaN) are left out.
        n_clusters: Independent units.
        scale: Where the value has no edge.
        biased: Correct the interval by the bias of the resamples.
    """
    low, high = limits(replicates, n_clusters, scale, biased=biased)
    numbers = torch.stack([replicates[:, 0], low, high], 1)
    return [
        Interval(value=None, low=None, high=None)
        if value is None
        else Interval(value=value, low=low, high=high)
        for value, low, high in (map(_number, row) for row in numbers.tolist())
    ]


def limits(
    replicates: Float[Tensor, "scores rows"], n_clusters: int, scale: Scale, *, biased: bool = False
) -> tuple[Float[Tensor, " scores"], Float[Tensor, " scores"]]:
    """Return both ends of the intervals; NaN where there is none. Arguments as of `intervals`."""
    value, resamples = replicates[:, 0], replicates[:, 1:]
    if n_clusters < 2:
        return value * torch.nan, value * torch.nan
    mean = resamples.nanmean(1)
    spread = (resamples - mean[:, None]).square_().nanmean(1).sqrt()
    t = float(stats.t.ppf(0.975, n_clusters - 1))
    half = t * math.sqrt(n_clusters / (n_clusters - 1)) * spread
    shift = value - mean if biased else torch.zeros_like(value)
    low, high = _on_scale(value, shift - half, scale), _on_scale(value, shift + half, scale)
    unseen = 1 - 0.025 ** (1 / n_clusters)
    low = torch.where((scale == "logit") & (value == 1), 1 - unseen, low)
    high = torch.where((scale != "plain") & (value == 0), unseen, high)
    return torch.minimum(low, value), torch.maximum(high, value)


def _on_scale(
    value: Float[Tensor, " scores"], step: Float[Tensor, " scores"], scale: Scale
) -> Float[Tensor, " scores"]:
    """Go from the value by a step of its own units, along the tangent of the scale."""
    match scale:
        case "plain":
            moved = value + step
        case "log":
            moved = value * torch.exp(step / value)
        case "capped log":
            moved = _on_scale(value, step, "log").clamp(max=1)
        case "logit":
            moved = torch.sigmoid(torch.logit(value) + step / (value * (1 - value)))
    return torch.where(step == 0, value, moved)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
