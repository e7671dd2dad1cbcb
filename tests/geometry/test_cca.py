"""Canonical correlations against QR and SVD, and what holding out is for."""

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.geometry.cca import Canonical, Reduced, canonical, reduce

N = 4000
FIT = torch.arange(N) % 2 == 0


def halves(x: Tensor, share: float = 0.99) -> tuple[Reduced, Reduced]:
    def one(fit: Tensor) -> Reduced:
        centred = (x[fit] - x[fit].mean(0)).double()
        return reduce(x, fit, centred.T @ centred, share)

    return one(FIT), one(~FIT)


def in_sample(x: Tensor) -> tuple[Reduced, Reduced]:
    """Measured on what it was fitted on."""
    whole = reduce(x, torch.ones(N, dtype=torch.bool), _scatter(x), 1.0)
    same = Reduced(fit=whole.fit, test=whole.fit, loadings=whole.loadings)
    return same, same


def _scatter(x: Tensor) -> Tensor:
    centred = (x - x.mean(0)).double()
    return centred.T @ centred


def oracle(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Mean and projection-weighted canonical correlation by QR and SVD (Morcos et al. 2018)."""
    a, b = ((z - z.mean(0)).double().numpy() for z in (x, y))
    qa, qb = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    u, rho, _ = np.linalg.svd(qa.T @ qb, full_matrices=False)
    weights = np.abs((qa @ u).T @ a).sum(1)
    return float(rho.mean()), float((weights * rho).sum() / weights.sum())


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(N, 7, generator=rng) @ torch.randn(7, 7, generator=rng)
    return x, x[:, :5] @ torch.randn(5, 5, generator=rng) + torch.randn(N, 5, generator=rng)


def test_in_sample_it_is_the_textbook_one(pair: tuple[Tensor, Tensor]) -> None:
    found = canonical(in_sample(pair[0]), in_sample(pair[1]))
    assert (found.svcca, found.pwcca) == pytest.approx(oracle(*pair), rel=1e-4)


def test_held_out_it_is_nearly_the_same_where_there_is_much_data(
    pair: tuple[Tensor, Tensor],
) -> None:
    found = canonical(halves(pair[0], 1.0), halves(pair[1], 1.0))
    assert (found.svcca, found.pwcca) == pytest.approx(oracle(*pair), abs=0.02)


def test_an_affine_map_of_the_other_layer_changes_nothing(pair: tuple[Tensor, Tensor]) -> None:
    x, y = pair
    mapped = y @ torch.randn(5, 5, generator=torch.Generator().manual_seed(3)) - 4
    before, after = (canonical(halves(x, 1.0), halves(z, 1.0)) for z in (y, mapped))
    assert (after.svcca, after.pwcca) == pytest.approx((before.svcca, before.pwcca), rel=1e-3)


def test_a_layer_is_itself_and_unrelated_ones_are_nothing() -> None:
    rng = torch.Generator().manual_seed(1)
    x, y = (torch.randn(N, 60, generator=rng) for _ in range(2))
    itself = canonical(halves(x), halves(x))
    assert (itself.svcca, itself.pwcca) == pytest.approx((1, 1), abs=1e-3)
    apart = canonical(halves(x), halves(y))
    assert apart.svcca == pytest.approx(0, abs=0.03)
    assert oracle(x, y)[0] > 0.1  # what it would be without holding out


def test_components_of_little_variance_are_dropped() -> None:
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(N, 6, generator=rng) * torch.tensor([1, 1, 1, 0.01, 0.01, 0])
    assert [half.fit.shape[1] for half in halves(x)] == [3, 3]
    assert [half.fit.shape[1] for half in halves(x, 1.0)] == [5, 5]


def test_too_few_frames_and_constants_are_refused() -> None:
    x = torch.randn(N, 120)
    found = canonical(halves(x, 1.0), halves(x, 1.0))
    assert found == Canonical(reason=found.reason)
    assert "2000 frames to fit 240 dimensions on, at least 2400 are needed" in found.reason
    assert canonical(halves(torch.ones(N, 3)), halves(x)).reason == "the features are constant"
