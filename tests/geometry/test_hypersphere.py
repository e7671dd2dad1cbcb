"""Alignment and uniformity against loops over pairs."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.geometry.hypersphere import alignment, on_sphere, uniformity

GROUP = torch.arange(40) % 8
FOLD = GROUP % 4


@pytest.fixture
def u() -> Tensor:
    rng = torch.Generator().manual_seed(0)
    own = torch.randn(8, 6, generator=rng)
    return on_sphere(own[GROUP] + torch.randn(40, 6, generator=rng) + 9)


def test_alignment_is_the_mean_over_pairs_of_a_group(u: Tensor) -> None:
    for value, left in zip(alignment(u, GROUP, FOLD), (None, 0, 1, 2, 3), strict=True):
        means = []
        for g in range(8):
            members = [i for i in range(40) if GROUP[i] == g and FOLD[i] != left]
            pairs = list(itertools.combinations(members, 2))
            if pairs:
                means.append(np.mean([float((u[a] - u[b]).square().sum()) for a, b in pairs]))
        assert float(value) == pytest.approx(np.mean(means))


def test_uniformity_is_the_log_mean_potential(u: Tensor) -> None:
    for value, left in zip(uniformity(u, FOLD), (None, 0, 1, 2, 3), strict=True):
        kept = u if left is None else u[left != FOLD]
        potentials = torch.pdist(kept).square().mul(-2).exp()
        assert float(value) == pytest.approx(float(potentials.mean().log()))


def test_known_answers() -> None:
    rng = torch.Generator().manual_seed(0)
    fold = torch.arange(600) % 10
    even = on_sphere(torch.randn(600, 64, generator=rng))
    assert float(uniformity(even, fold)[0]) == pytest.approx(-3.9, abs=0.05)
    same = on_sphere(torch.randn(300, 64, generator=rng).repeat_interleave(2, 0))
    pairs = torch.arange(600) // 2
    assert float(alignment(same, pairs, pairs % 10)[0]) == pytest.approx(0, abs=1e-9)
    assert float(alignment(even, pairs, pairs % 10)[0]) == pytest.approx(2, abs=0.05)
    assert alignment(even, torch.arange(600), fold).isnan().all()
