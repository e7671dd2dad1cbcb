"""95 % intervals by a bootstrap over independent units (clusters: speakers or recordings).

Resamples depend on (seed, corpus, task, cluster ids) alone: every layer, probe and encoder scored on
the same clusters sees the same resamples, so their replicates are paired.

Interval: percentile of the replicates at widened levels. With G clusters the percentile interval is
too short, as it misses both the factor √((G-1)/G) of the plug-in variance and the t quantile;
Hesterberg (2015, The American Statistician 69, section 4.2) repairs both by taking the percentiles
at Φ(∓ t_{.975, G-1} √(G/(G-1))). Below about 6 clusters those levels pass the outermost
replicates: the interval is then the range of the replicates and still too short. One cluster has no
interval.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

__all__ = ["Interval", "cluster_weights", "interval"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A value with its 95 % interval; None where it could not be measured."""

    value: float | None
    low: float | None
    high: float | None


def cluster_weights(
    seed: int, corpus: str, task: str, clusters: Sequence[str], n_resamples: int = 1000
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
    counts = generator.multinomial(n, np.full(n, 1 / n), size=n_resamples)
    return torch.from_numpy(np.concatenate([np.ones((1, n)), counts]))


def interval(replicates: Float[Tensor, " rows"], n_clusters: int) -> Interval:
    """Turn a metric's value (row 0) and its resamples (the rest) into a 95 % interval.

    Resamples in which the metric is undefined (NaN) are left out.
    """
    values = replicates.numpy()
    if not np.isfinite(values[0]):
        return Interval(value=None, low=None, high=None)
    resamples = values[1:][np.isfinite(values[1:])]
    if n_clusters < 2 or not len(resamples):
        return Interval(value=float(values[0]), low=None, high=None)
    widened = stats.t.ppf(0.975, n_clusters - 1) * np.sqrt(n_clusters / (n_clusters - 1))
    low, high = np.quantile(resamples, stats.norm.cdf([-widened, widened]))
    return Interval(value=float(values[0]), low=float(low), high=float(high))
