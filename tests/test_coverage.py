"""95 % intervals hold the truth in 93 to 97 % of simulations, within the chance of so few of them.

Layers stand for simulations: all are measured at once. The full simulation is `benchmarks/coverage.py`.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from probe_bench.bootstrap import cluster_weights, limits
from probe_bench.metrics import SCALES
from probe_bench.replicates import Resamples, replicates
from probe_bench.task import Metric

N_RESAMPLES = 300


def covered(values: Tensor, n_clusters: int, truth: float, metric: Metric | None) -> float:
    low, high = limits(values, n_clusters, SCALES[metric] if metric else "plain")
    return float(((low <= truth) & (truth <= high)).double().mean())


def band(n: int) -> tuple[float, float]:
    """93 to 97 %, and 2.6 standard errors of `n` simulations (1 % of chance)."""
    margin = 2.6 * np.sqrt(0.95 * 0.05 / n)
    return 0.93 - margin, 0.97 + margin


def clusters(random: np.random.Generator, n: int) -> np.ndarray:
    return np.repeat(np.arange(n), random.integers(3, 14, n))


def noise(random: np.random.Generator, n: int, cluster: np.ndarray, icc: float) -> np.ndarray:
    """Unit variance, a share of it common to the units of a cluster."""
    common = random.standard_normal((n, cluster.max() + 1))[:, cluster]
    own = random.standard_normal((n, len(cluster)))
    return np.sqrt(icc) * common + np.sqrt(1 - icc) * own


def resamples(n_clusters: int, cluster: np.ndarray, other: np.ndarray | None = None) -> Resamples:
    weights = cluster_weights(0, "", "", [str(k) for k in range(n_clusters)], N_RESAMPLES)
    second = None if other is None else torch.from_numpy(other)
    return Resamples.of(weights, torch.from_numpy(cluster), second)


@pytest.mark.parametrize(("n_clusters", "icc"), [(8, 0.05), (8, 0.4), (30, 0.2)])
def test_accuracy_and_differences_of_two_layers(n_clusters: int, icc: float) -> None:
    random, n = np.random.default_rng(n_clusters), 1500
    cluster = clusters(random, n_clusters)
    shared = noise(random, n, cluster, icc)
    layers = [0.8 * shared + 0.6 * noise(random, n, cluster, icc) for _ in range(2)]
    truths = (0.7, 0.75)
    found = [
        replicates(
            ["accuracy"],
            np.zeros(len(cluster), int),
            (layer > stats.norm.ppf(truth)).astype(int),
            resamples(n_clusters, cluster),
        )["accuracy"]
        for layer, truth in zip(layers, truths, strict=True)
    ]
    low, high = band(n)
    assert low <= covered(found[0], n_clusters, 0.7, "accuracy") <= high
    assert low <= covered(found[1] - found[0], n_clusters, 0.05, None) <= high


def test_area_under_the_curve() -> None:
    random, n, n_clusters = np.random.default_rng(1), 600, 16
    cluster = clusters(random, n_clusters)
    member = (random.random(len(cluster)) < 0.25)[:, None]
    scores = noise(random, n, cluster, 0.2)[..., None] + 1.2 * member
    found = replicates(["macro_auc"], member, scores, resamples(n_clusters, cluster))["macro_auc"]
    low, high = band(n)
    assert low <= covered(found, n_clusters, stats.norm.cdf(1.2 / np.sqrt(2)), "macro_auc") <= high


def test_equal_error_rate_of_trials_between_two_clusters() -> None:
    """Score = d [target] + c (u_a + u_b) + noise: both kinds are normal, and the rate is
    Phi(-d / (s_target + s_other)), with s_target² = 4 c² + 1 and s_other² = 2 c² + 1."""
    random, n, n_speakers, c, d = np.random.default_rng(2), 400, 20, 0.3, 3.0
    speaker = np.repeat(np.arange(n_speakers), 4)
    first, second = np.triu_indices(len(speaker), 1)
    a, b = speaker[first], speaker[second]
    u = random.standard_normal((n, n_speakers))
    scores = d * (a == b) + c * (u[:, a] + u[:, b]) + random.standard_normal((n, len(a)))
    found = replicates(["eer"], a == b, scores, resamples(n_speakers, a, b))["eer"]
    truth = stats.norm.cdf(-d / (np.sqrt(4 * c**2 + 1) + np.sqrt(2 * c**2 + 1)))
    low, high = band(n)
    assert low <= covered(found, n_speakers, truth, "eer") <= high
