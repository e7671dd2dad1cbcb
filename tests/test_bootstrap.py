from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats

from probe_bench.bootstrap import Interval, Scale, cluster_weights, interval, intervals


def test_resamples_depend_on_seed_corpus_task_and_clusters_only() -> None:
    names = ["a", "b", "c"]
    weights = cluster_weights(0, "speech", "speaker", names)
    assert torch.equal(weights, cluster_weights(0, "speech", "speaker", names))
    for other in (
        cluster_weights(1, "speech", "speaker", names),
        cluster_weights(0, "scenes", "speaker", names),
        cluster_weights(0, "speech", "emotion", names),
        cluster_weights(0, "speech", "speaker", ["a", "b", "d"]),
    ):
        assert not torch.equal(weights, other)


def test_row_0_is_the_data_and_every_resample_draws_as_many_clusters() -> None:
    weights = cluster_weights(0, "speech", "speaker", [str(i) for i in range(12)], 200)
    assert weights.shape == (201, 12)
    assert (weights[0] == 1).all()
    assert (weights.sum(1) == 12).all()
    assert weights[1:].mean(0).numpy() == pytest.approx(1, abs=0.3)


def test_counts_are_those_of_independent_draws() -> None:
    """Binomial(n, 1/n) each: variance 1 - 1/n, covariance of two -1/n."""
    weights = cluster_weights(0, "speech", "speaker", [str(i) for i in range(5)], 40_000)[1:].T
    expected = np.eye(5) - 1 / 5
    np.testing.assert_allclose(torch.cov(weights).numpy(), expected, atol=0.03)


def test_interval_is_a_t_interval_on_its_scale() -> None:
    rows = torch.tensor([0.5, np.nan, 0.4, 0.6, np.nan], dtype=torch.float64)
    half = stats.t.ppf(0.975, 2) * 0.1 * np.sqrt(3 / 2)
    plain, log, capped, logit = (interval(rows, 3, scale) for scale in get_args(Scale))
    assert (plain.low, plain.high) == pytest.approx((0.5 - half, 0.5 + half))
    assert (log.low, log.high) == pytest.approx((0.5 * np.exp(-2 * half), 0.5 * np.exp(2 * half)))
    assert (capped.low, capped.high) == (log.low, 1.0) != (log.low, log.high)
    ends = 1 / (1 + np.exp([4 * half, -4 * half]))
    assert (logit.low, logit.high) == pytest.approx(tuple(ends))


def test_a_biased_metric_is_corrected_by_its_resamples_and_still_in_its_interval() -> None:
    rows = torch.tensor([[0.5, 0.56, 0.66]], dtype=torch.float64)
    [shifted] = intervals(rows, 40, biased=True)
    half = stats.t.ppf(0.975, 39) * 0.05 * np.sqrt(40 / 39)
    assert (shifted.low, shifted.high) == pytest.approx((0.39 - half, 0.5))


def test_what_has_no_value_or_one_cluster_has_no_interval() -> None:
    rows = torch.tensor([0.5, 0.4, 0.6], dtype=torch.float64)
    assert interval(rows, 1) == Interval(value=0.5, low=None, high=None)
    assert interval(rows * torch.nan, 3) == Interval(value=None, low=None, high=None)
    unresampled = torch.tensor([0.5, torch.nan], dtype=torch.float64)
    assert interval(unresampled, 3) == Interval(value=0.5, low=None, high=None)


def test_no_error_in_any_cluster_is_bounded_by_their_number_and_a_constant_is_certain() -> None:
    """With G clusters a share q of faulty ones stays unseen with probability (1-q)^G."""
    perfect = interval(torch.ones(50, dtype=torch.float64), 20, "logit")
    assert perfect.high == 1
    assert perfect.low == pytest.approx(stats.beta.ppf(0.025, 20, 1))
    none = interval(torch.zeros(50, dtype=torch.float64), 20, "log")
    assert (none.low, none.high) == pytest.approx((0, stats.beta.ppf(0.975, 1, 20)))
    chance = interval(torch.full((50,), 1 / 3, dtype=torch.float64), 20, "logit")
    assert chance.low == chance.value == chance.high
    silence = interval(torch.ones(50, dtype=torch.float64), 20, "log")
    assert silence.low == silence.high == 1


def test_units_of_one_cluster_stay_together() -> None:
    """Ten copies of each unit must not shorten the interval."""
    random = np.random.default_rng(1)
    names = [str(i) for i in range(20)]
    weights = cluster_weights(0, "speech", "speaker", names)
    hits = torch.from_numpy(random.random(20))
    narrow, copied = (
        interval(weights @ (copies * hits) / (weights @ (copies * torch.ones_like(hits))), 20)
        for copies in (1.0, 10.0)
    )
    assert (narrow.low, narrow.high) == pytest.approx((copied.low, copied.high))
