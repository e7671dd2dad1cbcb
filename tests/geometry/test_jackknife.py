"""Intervals that leave out parts of the units."""

import numpy as np
import pytest
import torch
from scipy import stats

from probe_bench.geometry.jackknife import deal, interval, leave_out


def test_the_interval_of_a_mean_is_the_classical_one() -> None:
    groups = torch.from_numpy(np.random.default_rng(0).normal(3, 1, 10))
    sums, counts = leave_out(groups), leave_out(torch.ones(10))
    found = interval(sums / counts)
    expected = stats.t.interval(0.95, 9, groups.mean(), stats.sem(groups))
    assert found.value == pytest.approx(float(groups.mean()))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        groups = torch.from_numpy(rng.normal(0, 1, 10))
        found = interval(((leave_out(groups) / leave_out(torch.ones(10))) + 5), "log")
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 5 <= found.high
    assert 0.92 < hits / 400 < 0.98


def test_groups_stay_whole_and_parts_are_even() -> None:
    rng = np.random.default_rng(2)
    group = torch.from_numpy(rng.integers(0, 40, 1000))
    fold = deal(group)
    assert int(fold.max()) == 9
    for g in range(40):
        assert len(fold[group == g].unique()) == 1
    sizes = torch.bincount(fold)
    assert int(sizes.max() - sizes.min()) < 25
    assert deal(torch.tensor([0, 0, 1])).tolist() == [0, 0, 1]


def test_no_interval_from_too_few_units_nor_beyond_the_scale() -> None:
    two = torch.tensor([1.0, 1.0, 1.1])
    assert interval(two).low is None
    assert interval(torch.tensor([torch.nan, 1, 1, 1])).value is None
    assert interval(torch.tensor([1.0, 1, 1, 1]), "fisher").low is None
    bounded = interval(torch.tensor([0.95, 0.9, 0.99, 0.96, 0.94]), "fisher")
    assert bounded.high is not None
    assert bounded.high < 1
    assert leave_out(torch.ones(1, 3)).shape == (1, 3)
