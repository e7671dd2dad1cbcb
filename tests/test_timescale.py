"""Half rates: known answers, a slow version by libraries, coverage, and what cannot be told."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

from probe_bench.timescale import half_rate, half_rates_hz

CUTOFFS_HZ = (32.0, 16.0, 8.0, 4.0, 2.0, 1.0)
N_RESAMPLES = 400


def logistic(half_hz: float, slope: float = 1.5) -> np.ndarray:
    """Share of a score that is left, a logistic curve over octaves."""
    return 1 / (1 + (half_hz / np.array(CUTOFFS_HZ)) ** slope)


def resampled(values: Sequence[float], spread: float, n_clusters: int, seed: int) -> Tensor:
    """Means over clusters of normal numbers around each value, and those of resamples of clusters."""
    rng = np.random.default_rng(seed)
    clusters = np.array(values)[:, None] + spread * rng.standard_normal((len(values), n_clusters))
    weights = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), N_RESAMPLES)
    weights = np.vstack([np.ones(n_clusters), weights]) / n_clusters
    return torch.from_numpy(clusters @ weights.T)


def slowly(beyond: np.ndarray) -> float:
    """One curve: scikit-learn's isotonic regression, walked along a fine grid of octaves."""
    octaves = np.log2(CUTOFFS_HZ)
    fitted = IsotonicRegression(increasing=False).fit_transform(np.arange(len(beyond)), beyond)
    if fitted[0] < 0:
        return math.inf
    if fitted[-1] >= 0:
        return 0.0
    grid = np.linspace(octaves[0], octaves[-1], 20_001)
    curve = np.interp(-grid, -octaves, fitted)
    return float(2 ** grid[np.argmax(curve < 0)])


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_it_is_where_the_nearest_falling_curve_crosses_half(values: list[float]) -> None:
    beyond = np.round(values, 3) + 1e-7  # off zero, where a crossing is anyone's
    found = float(half_rates_hz(torch.from_numpy(beyond)[:, None], CUTOFFS_HZ)[0])
    assert found == pytest.approx(slowly(beyond), rel=1e-3)


@pytest.mark.parametrize("half_hz", [1.3, 3.0, 5.7, 8.0, 11.0, 25.0])
def test_a_planted_half_rate_comes_back(half_hz: float) -> None:
    """Straight lines between octaves miss a logistic curve by less than 2 %."""
    gained = torch.full((N_RESAMPLES + 1,), 0.6, dtype=torch.float64)
    kept = gained * torch.from_numpy(logistic(half_hz))[:, None]
    found, draws = half_rate(kept, gained, CUTOFFS_HZ, 20)
    assert found.value == pytest.approx(half_hz, rel=0.02)
    assert found.ci_low == pytest.approx(found.value) == found.ci_high
    assert not found.censored
    np.testing.assert_allclose(draws, found.value)


def test_one_point_out_of_line_moves_it_little() -> None:
    shares = logistic(6.0)
    dented = shares.copy()
    dented[1] = 0.45  # a first crossing would lie at 20 Hz
    raised = shares.copy()
    raised[5] = 0.55  # a lasting one would never come
    found = half_rates_hz(torch.from_numpy(np.stack([shares, dented, raised])).T - 0.5, CUTOFFS_HZ)
    assert found[0] == pytest.approx(6.0, rel=0.02)
    assert 6.0 < found[1] < 9.0
    assert 4.0 < found[2] < 6.0


def test_what_lies_beyond_the_severities_is_censored() -> None:
    gained = resampled([0.6], 0.1, 20, 0)[0]
    fast, _ = half_rate(resampled(0.6 * logistic(200), 0.1, 20, 1), gained, CUTOFFS_HZ, 20)
    assert (fast.value, fast.bound, fast.ci_high) == (32.0, "at least", None)
    slow, _ = half_rate(resampled(0.6 * logistic(0.1), 0.1, 20, 2), gained, CUTOFFS_HZ, 20)
    assert (slow.value, slow.bound, slow.ci_low) == (1.0, "at most", None)
    near, draws = half_rate(resampled(0.6 * logistic(1.4), 0.3, 20, 4), gained, CUTOFFS_HZ, 20)
    assert (near.bound, near.ci_low) == ("", None)
    assert near.ci_high is not None
    assert (draws == 0).any()


def test_no_half_of_what_cannot_be_told_from_chance() -> None:
    kept = resampled(0.02 * logistic(4.0), 0.2, 20, 1)
    found, draws = half_rate(kept, resampled([0.02], 0.2, 20, 0)[0], CUTOFFS_HZ, 20)
    assert (found.value, found.ci_low, found.ci_high, found.bound) == (None, None, None, "")
    assert draws.isnan().all()


def test_undefined_resamples_are_left_out_and_one_cluster_has_no_interval() -> None:
    kept, gained = resampled(0.6 * logistic(4.0), 0.2, 20, 1), resampled([0.6], 0.2, 20, 0)[0]
    whole, _ = half_rate(kept, gained, CUTOFFS_HZ, 20)
    extra = torch.full((6, 5), torch.nan, dtype=torch.float64)
    padded, _ = half_rate(
        torch.cat([kept, extra], 1), torch.cat([gained, extra[0]]), CUTOFFS_HZ, 20
    )
    assert padded == whole
    alone, _ = half_rate(kept, gained, CUTOFFS_HZ, 1)
    assert (alone.value, alone.ci_low, alone.ci_high) == (whole.value, None, None)


@pytest.mark.parametrize("n_clusters", [8, 30])
def test_intervals_hold_the_truth(n_clusters: int) -> None:
    truth, n, held = 5.0, 300, 0
    for seed in range(n):
        values = [0.6, *(0.6 * logistic(truth))]
        found = resampled(values, 0.3, n_clusters, seed)
        estimate, _ = half_rate(found[1:], found[0], CUTOFFS_HZ, n_clusters)
        assert estimate.value is not None
        held += (estimate.ci_low or 0.0) <= truth <= (estimate.ci_high or math.inf)
    margin = 2.6 * math.sqrt(0.95 * 0.05 / n)
    assert 0.93 - margin <= held / n <= 0.97 + margin
