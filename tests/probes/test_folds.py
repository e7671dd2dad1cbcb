"""All folds of several layers in one batch, against scikit-learn on each fold alone."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from probe_bench.probes.blocks import Held
from probe_bench.probes.convex import Fitted, fit_folds, fit_layers
from probe_bench.probes.roles import Roles
from probe_bench.probes.scratch import Room
from probe_bench.task import Measure

L2 = {"logistic": (1e-1, 1e-2, 1e-3), "ridge": (1.0, 1e-1, 1e-2)}
SINGLE = (
    Measure(probe="logistic", metrics=("accuracy",)),
    Measure(probe="ridge", metrics=("accuracy",)),
)
MULTI = (Measure(probe="logistic", metrics=("map",)),)
SIZES = [(600, 20), (90, 140), (150, 110)]  # the last: more rows than dimensions, not in a fold


@cache
def data(n: int, dim: int) -> tuple[list[Tensor], Tensor, Roles]:
    """Two layers, three folds; class 4 lies in part 0 alone, so fold 1 does not train on it."""
    g = torch.Generator().manual_seed(n)
    y = torch.randint(0, 4, (n,), generator=g)
    part = torch.arange(n) % 3
    y[(part == 0) & (torch.arange(n) % 5 == 0)] = 4
    centres = torch.randn(5, dim, generator=g)
    layers = [
        3
        + centres[y]
        + spread * torch.randn(n, dim, generator=g) * torch.arange(1, dim + 1) ** -0.3
        for spread in (1.5, 3.0)
    ]
    train = np.stack([(part != (k + 2) % 3).numpy() for k in range(3)])
    return layers, y, Roles(train=train, valid=~train)


def standardised(x: Tensor, train: np.ndarray) -> np.ndarray:
    scaler = StandardScaler().fit(x.double().numpy()[train])
    return np.asarray(scaler.transform(x.double().numpy()))


def softmax_loss(
    weight: np.ndarray, intercept: np.ndarray, x: np.ndarray, y: np.ndarray, l2: float
) -> float:
    scores = torch.from_numpy(x @ weight.T + intercept)
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(y))
    return float(loss) + l2 / 2 * float((weight**2).sum())


def fit(n: int, dim: int, room: Room) -> dict[str, list[list[Fitted]]]:
    layers, y, roles = data(n, dim)
    return fit_folds(
        SINGLE,
        L2,
        layers=[Held(x=x) for x in layers],
        roles=roles,
        targets=y.numpy(),
        n_classes=5,
        room=room,
    )


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize(("n", "dim"), SIZES)
def test_softmax_of_every_fold_is_that_of_sklearn(n: int, dim: int, *, in_file: bool) -> None:
    layers, y, roles = data(n, dim)
    folds = fit(n, dim, Room(budget_bytes=0 if in_file else None))["logistic"]
    for fold, train in enumerate(roles.train):
        known = np.unique(y.numpy()[train])
        for x, fitted in zip(layers, folds[fold], strict=True):
            wide, labels = standardised(x, train), y.numpy()
            model = LogisticRegression(
                C=1 / (fitted.l2 * train.sum()), tol=1e-9, solver="newton-cg"
            )
            model.fit(wide[train], labels[train])
            expected = softmax_loss(
                model.coef_,
                model.intercept_,
                wide[train],
                np.searchsorted(known, labels[train]),
                fitted.l2,
            )
            ours = softmax_loss(
                fitted.path.weight[0].numpy(),
                fitted.path.intercept[0].numpy(),
                wide[train],
                labels[train],
                fitted.l2,
            )
            assert ours == pytest.approx(expected, rel=1e-6)
            predicted = fitted.scores(x).argmax(1).numpy()
            assert (predicted == model.predict(wide)).mean() >= 0.999
            hits = predicted[roles.valid[fold]] == labels[roles.valid[fold]]
            assert fitted.valid_value == pytest.approx(hits.mean())


@pytest.mark.parametrize(("n", "dim"), SIZES)
def test_ridge_of_every_fold_is_that_of_sklearn(n: int, dim: int) -> None:
    layers, y, roles = data(n, dim)
    folds = fit(n, dim, Room())["ridge"]
    for fold, train in enumerate(roles.train):
        known = np.unique(y.numpy()[train])
        for x, fitted in zip(layers, folds[fold], strict=True):
            wide, labels = standardised(x, train), y.numpy()
            model = RidgeClassifier(alpha=fitted.l2 * train.sum(), solver="svd")
            model.fit(wide[train], labels[train])
            ours = fitted.path.weight[0].numpy()[known]
            np.testing.assert_allclose(ours, model.coef_, rtol=1e-6, atol=1e-7)
            predicted = fitted.scores(x).argmax(1).numpy()
            assert (predicted == model.predict(wide)).mean() >= 0.999


@pytest.mark.parametrize(("n", "dim"), [(400, 16), (60, 90)])
def test_one_vs_rest_of_every_fold_is_that_of_sklearn(n: int, dim: int) -> None:
    (x, _), y, roles = data(n, dim)
    tags = np.eye(5, dtype=bool)[y.numpy()]
    tags[:, 0] |= np.random.default_rng(0).random(n) < 0.3
    (folds,) = fit_folds(
        MULTI, L2, layers=[Held(x=x)], roles=roles, targets=tags, n_classes=5, room=Room()
    ).values()
    for (fitted,), train in zip(folds, roles.train, strict=True):
        wide = standardised(x, train)
        for k in range(5):
            y_k = tags[train, k]
            weight, intercept = fitted.path.weight[0, k].numpy(), float(fitted.path.intercept[0, k])
            if not y_k.any():
                assert intercept < -1000
                assert (weight == 0).all()
                continue
            model = LogisticRegression(
                C=1 / (fitted.l2 * train.sum()), tol=1e-9, solver="newton-cg"
            )
            model.fit(wide[train], y_k)
            ours, expected = (
                np.logaddexp(0, np.where(y_k, -1, 1) * (wide[train] @ w + b)).mean()
                + fitted.l2 / 2 * (w**2).sum()
                for w, b in ((weight, intercept), (model.coef_[0], model.intercept_[0]))
            )
            assert ours == pytest.approx(expected, rel=1e-6)


def test_a_batch_of_folds_chooses_and_fits_as_each_fold_alone() -> None:
    layers, y, roles = data(600, 20)
    together = fit(600, 20, Room())
    for fold, (train, valid) in enumerate(zip(roles.train, roles.valid, strict=True)):
        alone = fit_layers(
            SINGLE,
            L2,
            train=[x[train] for x in layers],
            train_targets=y[train],
            valid=[x[valid] for x in layers],
            valid_targets=y.numpy()[valid],
        )
        for probe, fitted in alone.items():
            for ours, expected in zip(together[probe][fold], fitted, strict=True):
                assert ours.l2 == expected.l2
                assert ours.valid_value == expected.valid_value
                known = slice(len(expected.path.intercept[0]))
                torch.testing.assert_close(
                    ours.path.weight[:, known], expected.path.weight, rtol=1e-3, atol=1e-4
                )


def test_the_passes_and_the_gap_of_every_probe_are_on_record() -> None:
    for fold in fit(600, 20, Room())["logistic"]:
        for fitted in fold:
            assert fitted.path.passes[0] > len(L2["logistic"])
            assert 0 <= fitted.path.gap[0] <= 1e-7
