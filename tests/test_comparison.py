"""Paired tests: against loops and scipy, and how often they err in simulation."""

import numpy as np
import pytest
import torch
from jaxtyping import Float
from scipy import stats

from probe_bench.bootstrap import cluster_weights
from probe_bench.comparison import compare, holm, max_t


def _replicates(
    clusters: Float[np.ndarray, "scores clusters"], weights: torch.Tensor
) -> torch.Tensor:
    return torch.from_numpy(clusters) @ weights.T / weights.sum(1)


def test_p_is_that_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    weights = cluster_weights(0, "c", "t", [str(n) for n in range(25)], 20_000)
    hard = rng.standard_normal(25)
    scores = hard + 0.1 * rng.standard_normal((6, 25)) + np.linspace(0, 0.16, 6)[:, None]
    first, second = scores[1:], np.repeat(scores[:1], 5, axis=0)
    found = compare(_replicates(first, weights), _replicates(second, weights), 25)
    expected = [
        stats.ttest_rel(one, other).pvalue for one, other in zip(first, second, strict=True)
    ]
    assert min(expected) < 0.01 < 0.2 < max(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.p is not None
        assert np.log(mine.p) == pytest.approx(np.log(theirs), rel=0.02)
        assert mine.interval.low is not None
        assert mine.interval.high is not None
        assert (mine.p < 0.05) == (not mine.interval.low < 0 < mine.interval.high)


def test_holm_is_its_definition() -> None:
    p = np.array([0.04, np.nan, 0.01, 0.03, 0.005])
    adjusted = holm(p)
    # Sorted: .005 x 4, .01 x 3, .03 x 2, .04 x 1, never falling.
    np.testing.assert_allclose(adjusted, [0.06, np.nan, 0.03, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_max_t_is_a_loop_over_steps() -> None:
    rng = np.random.default_rng(1)
    z = np.array([0.5, -3.0, 2.0, np.nan, 2.2])
    scaled = np.abs(rng.standard_normal((5, 400)))
    scaled[2] = scaled[4] * 0.9  # what errs together
    expected = np.full(5, np.nan)
    remaining, floor = [0, 1, 2, 4], 0.0
    while remaining:
        k = max(remaining, key=lambda n: abs(z[n]))
        reached = sum(max(scaled[n, r] for n in remaining) >= abs(z[k]) for r in range(400))
        floor = max(floor, (1 + reached) / 401)
        expected[k] = floor
        remaining.remove(k)
    np.testing.assert_allclose(max_t(z, scaled), expected)
    assert np.isnan(max_t(np.full(2, np.nan), scaled[:2])).all()


def test_one_difference_alone_is_not_adjusted() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(0.02, 0.01, (1, 500)))
    [found] = compare(rows, torch.zeros_like(rows), 12)
    assert found.p == found.p_holm == found.p_max_t


def test_what_no_resample_changes_is_certain_unless_it_is_nothing() -> None:
    weights = cluster_weights(0, "c", "t", list("abcdef"), 200)
    flat = np.stack([np.full(6, 0.75), np.full(6, 0.5)])
    same, better = compare(
        _replicates(flat[[1, 0]], weights), _replicates(flat[[1, 1]], weights), 6
    )
    assert (same.p, same.p_holm, same.p_max_t) == (1.0, 1.0, 1.0)
    assert better.p == 0.0
    assert better.p_max_t == pytest.approx(1 / 201)


@pytest.mark.parametrize("missing", ["one cluster", "no score"])
def test_what_cannot_be_measured_has_no_p(missing: str) -> None:
    weights = cluster_weights(0, "c", "t", ["a"] if missing == "one cluster" else list("abc"), 50)
    scores = np.random.default_rng(0).standard_normal((2, weights.shape[1]))
    if missing == "no score":
        scores[1] = np.nan
    [found] = compare(
        _replicates(scores[:1], weights), _replicates(scores[1:], weights), weights.shape[1]
    )
    assert (found.p, found.p_holm, found.p_max_t) == (None, None, None)


@pytest.mark.parametrize("dependence", [0.0, 0.95])
def test_a_true_null_is_rejected_as_rarely_as_stated(dependence: float) -> None:
    """Eight layers that equal the baseline: any rejection is an error (family-wise, 5 %)."""
    n_clusters, n_layers, trials = 20, 8, 250
    weights = cluster_weights(0, "c", "t", [str(n) for n in range(n_clusters)], 999)
    rng = np.random.default_rng(2)
    errors = np.zeros(3)
    for _ in range(trials):
        common = rng.standard_normal(n_clusters)
        own = rng.standard_normal((n_layers, n_clusters))
        layers = np.sqrt(dependence) * common + np.sqrt(1 - dependence) * own
        replicates = _replicates(layers, weights)
        found = compare(replicates, torch.zeros_like(replicates), n_clusters)
        smallest = [
            min(p for each in found if (p := getattr(each, name)) is not None)
            for name in ("p", "p_holm", "p_max_t")
        ]
        errors += np.array(smallest) < 0.05
    alone, by_holm, by_max = errors / trials
    margin = 2.6 * np.sqrt(0.05 * 0.95 / trials)
    assert by_holm < 0.05 + margin
    assert by_max < 0.05 + margin
    if dependence:
        assert by_max > by_holm + 0.015  # Holm pays for eight questions where there is about one
        assert by_max > 0.05 - margin
    else:
        assert alone > 0.2  # why one adjusts at all
