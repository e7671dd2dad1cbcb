"""Heads trained side by side, against each head trained alone by torch.optim."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from probe_bench.probes.adam import Adam
from probe_bench.probes.heads import (
    Parameters,
    Setting,
    best_head,
    first_weights,
    grid,
    train_heads,
)
from probe_bench.probes.judging import Judge, classification_losses
from probe_bench.probes.mlp import MlpConfig, mlp_scores, train_mlp

LAYERS, UNITS, DIM, CLASSES = 3, 90, 7, 4
SETTINGS = (
    Setting(lr=0.01, dropout=0.3),
    Setting(lr=0.003, weight_decay=2.0),
    Setting(lr=0.03),
)


def data(seed: int = 0, *, multi_label: bool = False) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(LAYERS, UNITS, DIM, generator=g)
    logits = x.sum(0) @ torch.randn(DIM, CLASSES, generator=g)
    logits += torch.randn(logits.shape, generator=g)
    return x, (logits > 0) if multi_label else logits.argmax(1)


def judge(targets: Tensor) -> Judge:
    metric = "map" if targets.dim() == 2 else "accuracy"
    return Judge(metric=metric, targets=targets.numpy(), n_classes=CLASSES)


def alone(
    x: Tensor, targets: Tensor, setting: Setting, config: MlpConfig, units_per_step: int
) -> list[Tensor]:
    """Train one head as anyone would, from the documented draws of the generator; all epochs."""
    g = torch.Generator().manual_seed(5)
    weights = []
    for rows, columns in pairwise((DIM, *config.hidden, CLASSES)):
        drawn = [torch.rand(shape, generator=g) for shape in ((rows, columns), (columns,))]
        weights += [((each * 2 - 1) / math.sqrt(rows)).requires_grad_() for each in drawn]
    optimiser = torch.optim.AdamW(
        [
            {"params": weights[::2], "weight_decay": setting.weight_decay},
            {"params": weights[1::2], "weight_decay": 0.0},
        ],
        lr=setting.lr,
    )
    g = torch.Generator().manual_seed(5)
    for _ in range(config.max_epochs):
        for units in torch.randperm(UNITS, generator=g).split(units_per_step):
            hidden = x[units]
            drawn = [torch.rand(len(units), width, generator=g) for width in config.hidden]
            for k, each in enumerate(drawn):
                hidden = (hidden @ weights[2 * k] + weights[2 * k + 1]).relu()
                hidden = hidden * (each >= setting.dropout) / (1 - setting.dropout)
            scores = hidden @ weights[-2] + weights[-1]
            loss = (
                cross_entropy(scores, targets[units])
                if targets.dim() == 1
                else binary_cross_entropy_with_logits(scores, targets[units].float())
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)])
def test_each_head_ends_where_it_would_have_ended_alone(
    hidden: tuple[int, ...], *, multi_label: bool
) -> None:
    x, targets = data(multi_label=multi_label)

    class Last(Judge):
        """Likes every epoch more than the one before."""

        def values(self, predicted: np.ndarray) -> list[float]:
            Last.epoch += 1
            return [float(Last.epoch)] * len(predicted)

    Last.epoch = 0
    last = Last(metric="accuracy", targets=targets.numpy(), n_classes=CLASSES)
    config = MlpConfig(hidden=hidden, settings=SETTINGS, max_epochs=6, patience=2)
    trained = train_mlp(x, targets, last, x, units_per_step=32, seed=5, config=config)
    assert trained.epochs == (6,) * (LAYERS * len(SETTINGS))
    for layer in range(LAYERS):
        for k, setting in enumerate(SETTINGS):
            head = layer * len(SETTINGS) + k
            for ours, theirs in zip(
                trained.parameters, alone(x[layer], targets, setting, config, 32), strict=True
            ):
                torch.testing.assert_close(ours[head], theirs, rtol=1e-5, atol=1e-6)


def test_adam_takes_the_steps_of_torch() -> None:
    g = torch.Generator().manual_seed(0)
    ours = torch.randn(3, 4, generator=g)
    theirs = ours.clone().requires_grad_()
    adam, optimiser = Adam(ours), torch.optim.Adam([theirs], lr=0.1)
    for _ in range(5):
        gradient = torch.randn(3, 4, generator=g)
        ours = ours + adam.step(gradient, 0.1)
        theirs.grad = gradient
        optimiser.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-7)


class Scripted:
    """Heads whose validation values follow a script; the weight counts the steps it was trained."""

    def __init__(self, script: list[list[float]]) -> None:
        self.script, self.epoch, self.seen = script, 0, list[list[int]]()

    def batches(self, generator: torch.Generator) -> Iterator[None]:
        yield None

    def losses(self, parameters: Parameters, heads: Tensor, batch: None) -> Tensor:
        self.seen.append(heads.tolist())
        return -parameters[0][:, 0]

    def values(self, parameters: Parameters, heads: Tensor) -> list[float]:
        self.epoch += 1
        return [float(self.script[head][self.epoch - 1]) for head in heads.tolist()]


def test_each_head_keeps_its_best_epoch_and_leaves_when_it_is_done() -> None:
    nan = math.nan
    script = [[1, 2, 1, 1, 9], [3, 2, 1, 9, 9], [0, 1, 2, 3, 4], [nan, nan, 1, 0, 0]]
    problem = Scripted(script)
    trained = train_heads(
        problem, (torch.zeros(4, 1),), grid(lr=(1.0,)) * 4, seed=0, max_epochs=5, patience=2
    )
    assert trained.epochs == (2, 1, 5, 0)
    assert trained.values == (2, 3, 4, -math.inf)
    # A gradient of -1 moves the weight by the learning rate each step.
    assert trained.parameters[0][:, 0].tolist() == pytest.approx([2, 1, 5, 0])
    assert problem.seen == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2], [0, 2], [2]]


def test_the_first_of_equally_good_settings_is_kept() -> None:
    settings = grid(lr=(0.1, 0.2), dropout=(0.0, 0.5))
    assert [str(s) for s in settings[:2]] == ["lr=0.1", "lr=0.1;dropout=0.5"]
    problem = Scripted([[k % 3] for k in range(8)])
    trained = train_heads(
        problem, (torch.zeros(8, 1),), settings * 2, seed=0, max_epochs=1, patience=1
    )
    assert best_head(trained, settings, 0).setting == settings[2]  # of 0 1 2 0
    assert best_head(trained, settings, 1).setting == settings[1]  # of 1 2 0 1


def test_without_hidden_layers_it_is_logistic_regression() -> None:
    """Long training with small steps ends at the optimum that scikit-learn finds."""
    x, targets = data(seed=1)
    config = MlpConfig(hidden=(), settings=grid(lr=(0.1,)), max_epochs=600, patience=600)

    def loss(weights: Tensor, bias: Tensor, layer: int) -> float:
        return float(cross_entropy(x[layer] @ weights + bias, targets))

    class Loss(Judge):
        def predict(self, scores: Tensor) -> np.ndarray:
            return -classification_losses(scores, targets)[:, None].numpy()

        def values(self, predicted: np.ndarray) -> list[float]:
            return predicted[:, 0].tolist()

    by_loss = Loss(metric="accuracy", targets=targets.numpy(), n_classes=CLASSES)
    trained = train_mlp(x, targets, by_loss, x, units_per_step=UNITS, seed=0, config=config)
    for layer in range(LAYERS):
        optimum = LogisticRegression(C=np.inf, tol=1e-8, max_iter=5000).fit(x[layer], targets)
        wanted = loss(
            torch.tensor(optimum.coef_.T).float(), torch.tensor(optimum.intercept_).float(), layer
        )
        weight, bias = (tensor[layer] for tensor in trained.parameters)
        assert loss(weight, bias, layer) == pytest.approx(wanted, rel=1e-4)


def test_a_hidden_layer_learns_what_no_linear_head_can() -> None:
    g = torch.Generator().manual_seed(3)
    x = torch.randn(1, 400, 2, generator=g)
    targets = (x[0, :, 0] * x[0, :, 1] > 0).long()
    xor = Judge(metric="accuracy", targets=targets[300:].numpy(), n_classes=2)
    best = {}
    for hidden in ((), (32,)):
        config = MlpConfig(hidden=hidden, settings=grid(lr=(0.01,)))
        trained = train_mlp(
            x[:, :300], targets[:300], xor, x[:, 300:], units_per_step=32, seed=0, config=config
        )
        best[hidden] = trained.values[0]
        again = mlp_scores(trained.parameters, x[:, 300:])
        assert xor.values(xor.predict(again)) == [trained.values[0]]
    assert best[()] < 0.7
    assert best[32,] > 0.9


def test_first_weights_are_shared_and_within_bounds() -> None:
    drawn = first_weights(3, (50, 20), 50, torch.Generator().manual_seed(0))
    assert torch.equal(drawn[0], drawn[2])
    assert drawn.abs().max() <= 50**-0.5
    assert float(drawn.std()) == pytest.approx(50**-0.5 / 3**0.5, rel=0.05)
