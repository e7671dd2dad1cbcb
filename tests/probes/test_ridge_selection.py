import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeCV
from torch import Tensor

from probe_bench.probes.blocks import as_blocks
from probe_bench.probes.moments import measure_moments
from probe_bench.probes.ridge_selection import (
    k_fold_errors,
    leave_one_out_errors,
    select_ridge,
    solve_ridge,
)

L2 = (10.0, 1.0, 1e-1, 1e-2, 1e-3)


def regression(n: int, dim: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = 5 + torch.randn(n, dim, generator=g) * torch.arange(1, dim + 1) ** -0.5
    truth = torch.randn(dim, 3, generator=g)
    return x, x @ truth + 3 * torch.randn(n, 3, generator=g) + torch.tensor([0.0, 10.0, -4.0])


@pytest.mark.parametrize(("n", "dim"), [(200, 15), (40, 60)])
def test_leave_one_out_values_and_choice_are_those_of_sklearn(n: int, dim: int) -> None:
    x, t = regression(n, dim)
    alphas = [l2 * n for l2 in L2]
    model = RidgeCV(alphas=alphas, store_cv_results=True).fit(
        x.double().numpy(), t.double().numpy()
    )
    errors, _ = leave_one_out_errors(x, t, 3, L2)
    expected = model.cv_results_.mean(0).T  # samples targets alphas -> alphas targets
    np.testing.assert_allclose(errors, expected, rtol=1e-6)
    chosen = select_ridge(x, t, 3, L2)
    assert chosen.l2[0] * n == pytest.approx(model.alpha_)
    np.testing.assert_allclose(chosen.weight[0], model.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(chosen.intercept[0], model.intercept_, rtol=1e-6)


def test_leave_one_out_is_what_leaving_each_row_out_gives() -> None:
    x, t = regression(12, 5, seed=1)
    errors, _ = leave_one_out_errors(x, t, 3, (0.1,))
    wide, targets = x.double().numpy(), t.double().numpy()
    squares = []
    for i in range(12):
        rest = np.arange(12) != i
        # The mean loss changes its n: alpha of the model on all rows is what stays.
        model = Ridge(alpha=0.1 * 12, solver="svd").fit(wide[rest], targets[rest])
        squares.append((targets[i] - model.predict(wide[i : i + 1])[0]) ** 2)
    np.testing.assert_allclose(errors[0], np.mean(squares, 0), rtol=1e-6)


def test_k_folds_of_two_layers_are_those_of_a_loop_over_sklearn() -> None:
    layers = [regression(150, 20, seed) for seed in (2, 3)]
    t = layers[0][1]
    fold = torch.arange(150) % 4
    parts = [measure_moments(as_blocks(x), fold, 4, t, 3) for x, _ in layers]
    for (x, _), errors in zip(layers, k_fold_errors(parts, L2), strict=True):
        wide, targets, inside = x.double().numpy(), t.double().numpy(), fold.numpy()
        for k in range(4):
            rest = inside != k
            for i, l2 in enumerate(L2):
                model = Ridge(alpha=l2 * rest.sum(), solver="svd").fit(wide[rest], targets[rest])
                expected = ((targets[~rest] - model.predict(wide[~rest])) ** 2).sum(0)
                np.testing.assert_allclose(errors[k, i], expected, rtol=1e-6)


def test_one_eigendecomposition_serves_layers_strengths_and_classes() -> None:
    y = torch.arange(120) % 4
    layers = [regression(120, 10, seed)[0] for seed in (4, 5)]
    sets = torch.zeros(120, dtype=torch.long)
    solved = solve_ridge([measure_moments(as_blocks(x), sets, 1, y, 4) for x in layers], L2)
    onehot = np.eye(4)[y.numpy()]
    for x, solution in zip(layers, solved, strict=True):
        path = solution.path(0)
        for i, l2 in enumerate(L2):
            model = Ridge(alpha=l2 * 120, solver="svd").fit(x.double().numpy(), onehot)
            np.testing.assert_allclose(path.weight[i], model.coef_, rtol=1e-6, atol=1e-9)
