import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from probe_bench.probes.axes import principal_axes
from probe_bench.probes.logistic import fit_one_vs_rest, fit_softmax

STRENGTHS = (1.0, 1e-2, 1e-4)


def classes_and_features(
    n: int, dim: int, n_classes: int, seed: int, separation: float = 1.0
) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    prior = torch.softmax(torch.randn(n_classes, generator=g), 0)
    y = torch.multinomial(prior, n, replacement=True, generator=g)
    y[:n_classes] = torch.arange(n_classes)
    spectrum = torch.arange(1, dim + 1) ** -0.5
    centres = separation * torch.randn(n_classes, dim, generator=g)
    x = (centres[y] + 2 * torch.randn(n, dim, generator=g)) * spectrum
    mix = torch.linalg.qr(torch.randn(dim, dim, generator=g))[0]
    return x @ mix + 0.3, y


def softmax_objective(weight: Tensor, intercept: Tensor, x: Tensor, y: Tensor, l2: float) -> float:
    scores = x.double() @ weight.T + intercept
    loss = torch.nn.functional.cross_entropy(scores, y, reduction="none").mean()
    return float(loss + l2 / 2 * weight.square().sum())


def sigmoid_objective(weight: Tensor, intercept: Tensor, x: Tensor, y: Tensor, l2: float) -> float:
    scores = x.double() @ weight + intercept
    loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, y.double())
    return float(loss + l2 / 2 * weight.square().sum())


def sklearn_fit(x: Tensor, y: Tensor, l2: float) -> LogisticRegression:
    model = LogisticRegression(C=1 / (l2 * len(x)), tol=1e-9, solver="newton-cholesky")
    return model.fit(x.double().numpy(), y.numpy())


@pytest.mark.parametrize(("n", "dim"), [(600, 24), (60, 150)])
def test_softmax_reaches_the_optimum_of_sklearn_for_all_layers_and_strengths(
    n: int, dim: int
) -> None:
    layers = [classes_and_features(n, dim, 5, seed) for seed in (0, 1)]
    paths = fit_softmax(
        [principal_axes(x) for x, _ in layers], [y for _, y in layers], 5, STRENGTHS
    )
    for (x, y), path in zip(layers, paths, strict=True):
        scores = path.scores(x)
        for i, l2 in enumerate(STRENGTHS):
            model = sklearn_fit(x, y, l2)
            expected = softmax_objective(
                torch.tensor(model.coef_), torch.tensor(model.intercept_), x, y, l2
            )
            ours = softmax_objective(path.weight[i], path.intercept[i], x, y, l2)
            assert ours == pytest.approx(expected, rel=1e-6)
            same = scores[i].argmax(1).numpy() == model.predict(x.double().numpy())
            assert same.mean() >= 0.999


def test_softmax_predicts_unseen_samples_as_sklearn_does() -> None:
    x, y = classes_and_features(3000, 40, 8, seed=2, separation=0.6)
    (path,) = fit_softmax([principal_axes(x[:1000])], [y[:1000]], 8, (1e-3,))
    model = sklearn_fit(x[:1000], y[:1000], 1e-3)
    same = path.scores(x[1000:])[0].argmax(1).numpy() == model.predict(x[1000:].double().numpy())
    assert same.mean() >= 0.999


@pytest.mark.parametrize(("n", "dim"), [(400, 16), (50, 120)])
def test_one_vs_rest_reaches_the_optimum_of_sklearn_for_every_class(n: int, dim: int) -> None:
    x, y = classes_and_features(n, dim, 4, seed=3)
    extra = torch.rand(n, 4, generator=torch.Generator().manual_seed(0)) < 0.2
    targets = ((torch.nn.functional.one_hot(y, 4) > 0) | extra).float()
    (path,) = fit_one_vs_rest([principal_axes(x)], [targets], STRENGTHS)
    for i, l2 in enumerate(STRENGTHS):
        for k in range(4):
            model = sklearn_fit(x, targets[:, k].long(), l2)
            coefficients = torch.tensor(model.coef_[0]), torch.tensor(model.intercept_[0])
            expected = sigmoid_objective(*coefficients, x, targets[:, k], l2)
            ours = sigmoid_objective(path.weight[i, k], path.intercept[i, k], x, targets[:, k], l2)
            assert ours == pytest.approx(expected, rel=1e-6)


def test_layers_of_different_size_solve_together_as_alone() -> None:
    wide, narrow = classes_and_features(300, 30, 3, seed=4), classes_and_features(40, 60, 3, seed=5)
    together = fit_softmax(
        [principal_axes(wide[0]), principal_axes(narrow[0])], [wide[1], narrow[1]], 3, STRENGTHS
    )
    for (x, y), path in zip((wide, narrow), together, strict=True):
        (alone,) = fit_softmax([principal_axes(x)], [y], 3, STRENGTHS)
        for i, l2 in enumerate(STRENGTHS):
            ours = softmax_objective(path.weight[i], path.intercept[i], x, y, l2)
            expected = softmax_objective(alone.weight[i], alone.intercept[i], x, y, l2)
            assert ours == pytest.approx(expected, rel=1e-6)


def test_strengths_come_back_in_the_order_given() -> None:
    x, y = classes_and_features(200, 10, 3, seed=6)
    (up,) = fit_softmax([principal_axes(x)], [y], 3, (1e-3, 1.0))
    (down,) = fit_softmax([principal_axes(x)], [y], 3, (1.0, 1e-3))
    np.testing.assert_allclose(up.weight.flip(0), down.weight)
    assert up.weight[0].norm() > up.weight[1].norm()


def test_the_stated_gap_bounds_the_distance_to_a_tighter_solution() -> None:
    x, y = classes_and_features(500, 20, 4, seed=7)
    axes = [principal_axes(x)]
    (loose,) = fit_softmax(axes, [y], 4, (1e-3,), tolerance=1e-3)
    (tight,) = fit_softmax(axes, [y], 4, (1e-3,), tolerance=1e-9)
    values = [softmax_objective(p.weight[0], p.intercept[0], x, y, 1e-3) for p in (loose, tight)]
    assert loose.passes[0] < tight.passes[0]
    assert values[0] - values[1] <= 10 * loose.gap[0] * values[1]
