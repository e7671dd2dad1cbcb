"""Sums along rankings, against loops over units."""

import numpy as np
import pytest
import torch

from probe_bench.ranking import Sweeps, exact_dtype, running_sum, ties


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 9, 10, 63, 101])
def test_running_sum_is_cumsum(steps: int) -> None:
    x = torch.randint(0, 9, (3, steps, 5)).double()
    assert torch.equal(running_sum(x.clone()), x.cumsum(1))


def test_ties_are_first_and_last_place_of_equal_score() -> None:
    first, last = ties(torch.tensor([[5.0, 3, 3, 3, 1], [2, 2, 1, 0, 0]]))
    assert first.tolist() == [[0, 1, 1, 1, 4], [0, 0, 2, 3, 3]]
    assert last.tolist() == [[0, 3, 3, 3, 4], [1, 1, 2, 4, 4]]


@pytest.mark.parametrize("decimals", [0, 9])
def test_sweep_is_a_loop_over_members(decimals: int) -> None:
    random = np.random.default_rng(0)
    scores = np.round(random.normal(size=(4, 60)), decimals)
    member = random.random((4, 60)) < np.array([[0.1], [0.3], [0.9], [0.0]])
    cell, weights = random.integers(0, 7, 60), random.integers(0, 4, (7, 5)).astype(float)
    sweep = Sweeps(*(torch.from_numpy(each) for each in (scores, member, cell)))(
        torch.from_numpy(weights)
    )
    own = weights[cell]
    for p in range(4):
        in_order = np.sort(scores[p, member[p]])[::-1]
        for k, threshold in enumerate(in_order):
            at_or_above, level = scores[p] >= threshold, scores[p] == threshold
            is_first = k == 0 or in_order[k - 1] != threshold
            tied = own[level & ~member[p]].sum(0) if is_first else np.zeros(5)
            hits = own[level & member[p]].sum(0) if is_first else np.zeros(5)
            assert sweep.hits[p, k].tolist() == hits.tolist()
            assert sweep.found[p, k].tolist() == own[at_or_above & member[p]].sum(0).tolist()
            assert sweep.false[p, k].tolist() == own[at_or_above & ~member[p]].sum(0).tolist()
            if sweep.tied is not None:
                assert sweep.tied[p, k].tolist() == tied.tolist()
        assert (sweep.hits[p, len(in_order) :] == 0).all()
        assert sweep.members[p].tolist() == own[member[p]].sum(0).tolist()
        assert sweep.others[p].tolist() == own[~member[p]].sum(0).tolist()
    assert (sweep.tied is None) == (decimals == 9)


def test_sums_that_float32_would_round_are_kept_in_float64() -> None:
    assert exact_dtype(2.0**22) == torch.float32
    assert exact_dtype(2.0**24) == torch.float64
