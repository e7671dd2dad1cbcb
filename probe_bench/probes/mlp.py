"""Multi-layer perceptrons on units: all layers and settings in one batch of matrix products.

The head of HEAR (Turian et al. 2022): linear, ReLU, dropout, linear, trained by Adam and stopped by the
validation metric; hidden widths, rates and dropouts are ours, for thousands of units rather than tens
of thousands. HEAR's batch norm of the features is our standardisation on the training units.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from probe_bench.probes.heads import Parameters, Setting, Trained, first_weights, grid, train_heads
from probe_bench.probes.judging import Judge, classification_losses

__all__ = ["MlpConfig", "mlp_scores", "train_mlp"]

_UNITS_AT_ONCE = 1024  # scored at once by all heads


@dataclass(frozen=True, kw_only=True)
class MlpConfig:
    """Architecture, settings and training of the MLP heads.

    Attributes:
        hidden: Width of each hidden layer; none is a linear head.
        settings: What is tried on every layer; of equally good ones the first is kept.
        max_epochs: Passes over the training units.
        patience: A head stops when it has not improved for so many epochs.
        clips_per_step: Clips in a gradient step.
        frames_per_step: Frames in a gradient step.
    """

    hidden: tuple[int, ...] = (256,)
    settings: tuple[Setting, ...] = field(
        default_factory=lambda: grid(lr=(3.2e-3, 1e-3), dropout=(0.1, 0.5))
    )
    max_epochs: int = 40
    patience: int = 4
    clips_per_step: int = 64
    frames_per_step: int = 256


def train_mlp(
    train: Float[Tensor, "layers units dim"],
    targets: Shaped[Tensor, "units ..."],
    judge: Judge,
    valid: Float[Tensor, "layers held_out dim"],
    *,
    units_per_step: int,
    seed: int,
    config: MlpConfig,
) -> Trained:
    """Train heads `layers x settings`, settings fastest.

    Args:
        train: Standardised training features.
        targets: Class indices or membership of the training units.
        judge: Judges scores of the validation units.
        valid: Standardised validation features.
        units_per_step: Units in a gradient step.
        seed: Of weights, order and dropout.
        config: Settings and training.
    """
    problem = _Problem(
        x=train, targets=targets, valid=valid, judge=judge, units_per_step=units_per_step,
        hidden=config.hidden, settings=config.settings,
    )  # fmt: skip
    n_heads = len(train) * len(config.settings)
    start = _start(train.shape[2], config.hidden, judge.n_classes, n_heads, seed)
    return train_heads(
        problem,
        tuple(tensor.to(train.device) for tensor in start),
        config.settings * len(train),
        seed=seed,
        max_epochs=config.max_epochs,
        patience=config.patience,
    )


def mlp_scores(
    parameters: Parameters,
    x: Float[Tensor, "heads units dim"],
    keep: Sequence[Float[Tensor, "heads units _"]] = (),
) -> Float[Tensor, "heads units classes"]:
    """Score units by every head on its own features; `keep` scales the hidden units of each layer."""
    weights, biases = parameters[::2], parameters[1::2]
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = torch.baddbmm(bias.unsqueeze(1), x, weight)
        if k < len(weights) - 1:
            x = x.relu()
            x = x * keep[k] if keep else x
    return x


def _start(
    dim: int, hidden: tuple[int, ...], n_classes: int, n_heads: int, seed: int
) -> list[Float[Tensor, "heads ..."]]:
    generator = torch.Generator().manual_seed(seed)
    sizes = (dim, *hidden, n_classes)
    start = []
    for rows, columns in pairwise(sizes):
        start += [
            first_weights(n_heads, (rows, columns), rows, generator),
            first_weights(n_heads, (columns,), rows, generator),
        ]
    return start


_Batch = tuple[Int[Tensor, " batch"], list[Float[Tensor, "batch _"]]]
"""Units, and a number in [0, 1) for each of their hidden units."""


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """The units of a stack of layers."""

    x: Float[Tensor, "layers units dim"]
    targets: Shaped[Tensor, "units ..."]
    valid: Float[Tensor, "layers held_out dim"]
    judge: Judge
    units_per_step: int
    hidden: tuple[int, ...]
    settings: tuple[Setting, ...]

    def batches(self, generator: torch.Generator) -> Iterator[_Batch]:
        order = torch.randperm(len(self.targets), generator=generator)
        for units in torch.split(order.to(self.x.device), self.units_per_step):
            yield (
                units,
                [torch.rand(len(units), width, generator=generator) for width in self.hidden],
            )

    def losses(
        self, parameters: Parameters, heads: Int[Tensor, " heads"], batch: _Batch
    ) -> Float[Tensor, " heads"]:
        units, drawn = batch
        keep = [self._keep(heads, each) for each in drawn]
        x = self.x[:, units][heads // len(self.settings)]
        return classification_losses(mlp_scores(parameters, x, keep), self.targets[units])

    def _keep(
        self, heads: Int[Tensor, " heads"], drawn: Float[Tensor, "batch width"]
    ) -> Float[Tensor, "heads batch width"]:
        """Silence the same units of every head of equal rate, and scale up the others."""
        rates = [self.settings[head % len(self.settings)].dropout for head in heads.tolist()]
        rate = torch.tensor(rates, device=heads.device)[:, None, None]
        return (drawn.to(heads.device) >= rate) / (1 - rate)

    def values(self, parameters: Parameters, heads: Int[Tensor, " heads"]) -> list[float]:
        layer = heads // len(self.settings)
        parts = [
            self.judge.predict(mlp_scores(parameters, x[layer]))
            for x in torch.split(self.valid, _UNITS_AT_ONCE, 1)
        ]
        return self.judge.values(np.concatenate(parts, axis=1))
