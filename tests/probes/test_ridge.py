import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifier
from torch import Tensor

from probe_bench.probes.axes import principal_axes
from probe_bench.probes.ridge import fit_ridge, signed_targets

STRENGTHS = (10.0, 0.1, 1e-3)


def data(n: int, dim: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    x = torch.randn(4, dim, generator=g)[y] + 2 * torch.randn(n, dim, generator=g) + 0.5
    return x, y


@pytest.mark.parametrize(("n", "dim"), [(300, 20), (40, 90), (30, 30)])
def test_all_strengths_have_the_coefficients_of_sklearn(n: int, dim: int) -> None:
    x, y = data(n, dim)
    path = fit_ridge(principal_axes(x), x, signed_targets(y, 4), STRENGTHS)
    wide = x.double().numpy()
    for i, l2 in enumerate(STRENGTHS):
        plain = Ridge(alpha=l2 * n, solver="svd").fit(wide, signed_targets(y, 4).numpy())
        np.testing.assert_allclose(path.weight[i], plain.coef_, atol=1e-6)
        np.testing.assert_allclose(path.intercept[i], plain.intercept_, atol=1e-6)
        classifier = RidgeClassifier(alpha=l2 * n, solver="svd").fit(wide, y.numpy())
        assert (path.scores(x)[i].argmax(1).numpy() == classifier.predict(wide)).mean() >= 0.999


def test_dead_dimensions_do_no_harm() -> None:
    x, y = data(200, 10)
    dead = torch.cat([x, torch.full((200, 3), 0.25)], 1)
    alive = fit_ridge(principal_axes(x), x, signed_targets(y, 4), (0.1,))
    beside = fit_ridge(principal_axes(dead), dead, signed_targets(y, 4), (0.1,))
    np.testing.assert_allclose(beside.weight[..., :10], alive.weight, atol=1e-8)
    np.testing.assert_allclose(beside.weight[..., 10:], 0, atol=1e-8)
