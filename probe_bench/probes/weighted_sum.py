"""Softmax-weighted sum of all layers with a linear head: the protocol of SUPERB (Yang et al. 2021).

    z = Σ_l softmax(m)_l x_l,   scores = W z + b,   m, W and b trained together, m from 0.

The sum commutes with mean pooling, so clips are read from their pooled means and frames at the units'
times (nearest frame): nothing is lost, and only layers of equal dim can be summed, whatever their rates.
Each layer as it is and each layer layer-normed first (s3prl's `normalize`; of a clip: its mean) are
both trained, and validation chooses.

Only for the optimiser, the summands are centred, and scaled by one number a dimension that all layers
share. The centres add a constant to z and the scale is a change of units of W, so the heads that can
be reached, and what the weights of the layers mean, stay the same.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import layer_norm

from probe_bench.features import Features
from probe_bench.probes.heads import (
    Parameters,
    Setting,
    best_head,
    first_weights,
    grid,
    train_heads,
)
from probe_bench.probes.judging import Judge, classification_losses
from probe_bench.probes.standardise import standardiser_of

__all__ = ["WeightedSum", "WeightedSumConfig", "summable", "train_weighted_sum"]

_UNITS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class WeightedSumConfig:
    """Settings and training of the weighted sum.

    Attributes:
        settings: What is tried, on layers as they are and layer-normed; of equally good ones the
            first is kept.
        max_epochs: Passes over the training units.
        patience: A head stops when it has not improved for so many epochs.
        clips_per_step: Clips in a gradient step.
        frames_per_step: Frames in a gradient step.
        max_bytes: Training features of all layers; units beyond are thinned out evenly.
    """

    settings: tuple[Setting, ...] = field(
        default_factory=lambda: grid(lr=(1e-2, 3.2e-3), weight_decay=(0.0, 1.0))
    )
    max_epochs: int = 40
    patience: int = 5
    clips_per_step: int = 32
    frames_per_step: int = 256
    max_bytes: int = 2 << 30


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How features become summands: normed or not, then centred and scaled on the training units."""

    normed: bool
    mean: Float[Tensor, "layers dim"]
    scale: Float[Tensor, " dim"]

    def __call__(self, x: Float[Tensor, "units layers dim"]) -> Float[Tensor, "units layers dim"]:
        return (_normed(x) if self.normed else x).sub(self.mean).mul(self.scale)


@dataclass(frozen=True, kw_only=True)
class WeightedSum:
    """A trained weighted sum at the setting that validates best.

    Attributes:
        form: How features become summands.
        parameters: Layer logits, weights and biases, of one head.
        setting: Its setting.
        value: Its metric on the validation units.
    """

    form: _Form
    parameters: Parameters
    setting: str
    value: float

    @property
    def layer_weights(self) -> Float[Tensor, " layers"]:
        """Weight of each layer in the sum; they add up to 1."""
        return self.parameters[0][0].softmax(0)

    def scores(self, x: Float[Tensor, "units layers dim"]) -> Float[Tensor, "1 units classes"]:
        """Score units by their raw features on the layers that are summed."""
        return _scores(self.parameters, self.form(x))


def summable(features: Features) -> list[int]:
    """Return the largest set of layers of equal dim; the deeper one of equally large ones."""
    dims = [layer.dim for layer in features.layers]
    count = Counter(dims)
    last = {dim: k for k, dim in enumerate(dims)}
    chosen = max(count, key=lambda dim: (count[dim], last[dim]))
    return [k for k, dim in enumerate(dims) if dim == chosen]


def train_weighted_sum(
    train: Float[Tensor, "units layers dim"],
    targets: Shaped[Tensor, "units ..."],
    judge: Judge,
    valid: Float[Tensor, "held_out layers dim"],
    *,
    units_per_step: int,
    seed: int,
    config: WeightedSumConfig,
) -> WeightedSum:
    """Train the sum of layers as they are and layer-normed, at all settings; keep the best.

    Args:
        train: Training features.
        targets: Class indices or membership of the training units.
        judge: Judges scores of the validation units.
        valid: Validation features.
        units_per_step: Units in a gradient step.
        seed: Of weights and order.
        config: Settings and training.
    """
    tried = []
    for normed in (False, True):
        problem = _Problem(
            x=train, targets=targets, valid=valid, judge=judge, units_per_step=units_per_step,
            form=_fit_form(train, normed=normed),
        )  # fmt: skip
        trained = train_heads(
            problem,
            _start(train, judge.n_classes, len(config.settings), seed),
            config.settings,
            seed=seed,
            max_epochs=config.max_epochs,
            patience=config.patience,
        )
        head = best_head(trained, config.settings, 0)
        tried.append(
            WeightedSum(
                form=problem.form,
                parameters=head.parameters,
                setting=f"{head.setting};layer_norm={'yes' if normed else 'no'}",
                value=head.value,
            )
        )
    return max(tried, key=lambda each: each.value)


def _start(
    train: Float[Tensor, "units layers dim"], n_classes: int, heads: int, seed: int
) -> Parameters:
    """Equal weights of all layers, and a linear head."""
    _, n_layers, dim = train.shape
    generator = torch.Generator().manual_seed(seed)
    start = (
        torch.zeros(heads, n_layers),
        first_weights(heads, (dim, n_classes), dim, generator),
        first_weights(heads, (n_classes,), dim, generator),
    )
    return tuple(tensor.to(train.device) for tensor in start)


def _normed(x: Float[Tensor, "*units dim"]) -> Float[Tensor, "*units dim"]:
    return layer_norm(x, (x.shape[-1],))


def _fit_form(train: Float[Tensor, "units layers dim"], *, normed: bool) -> _Form:
    """Measure each layer's centre, and the scale of a dimension over all layers, in float64."""
    layers = [_normed(x) if normed else x for x in train.unbind(1)]
    moments = [torch.var_mean(x.double(), 0, correction=0) for x in layers]
    variance = torch.stack([variance for variance, _ in moments]).mean(0)
    largest = torch.stack([x.abs().amax(0) for x in layers]).amax(0).double()
    means = torch.stack([mean for _, mean in moments])
    scale = standardiser_of(means.mean(0), variance.sqrt(), largest).scale
    return _Form(normed=normed, mean=means.float(), scale=scale)


def _scores(
    parameters: Parameters, x: Float[Tensor, "units layers dim"]
) -> Float[Tensor, "heads units classes"]:
    mix, weight, bias = parameters
    summed = torch.einsum("hl,uld->hud", mix.softmax(1), x)
    return torch.baddbmm(bias.unsqueeze(1), summed, weight)


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """The units of all layers, in one form."""

    x: Float[Tensor, "units layers dim"]
    targets: Shaped[Tensor, "units ..."]
    valid: Float[Tensor, "held_out layers dim"]
    judge: Judge
    units_per_step: int
    form: _Form

    def batches(self, generator: torch.Generator) -> Iterator[Int[Tensor, " batch"]]:
        order = torch.randperm(len(self.x), generator=generator)
        yield from torch.split(order.to(self.x.device), self.units_per_step)

    def losses(
        self,
        parameters: Parameters,
        heads: Int[Tensor, " heads"],  # noqa: ARG002  all read the same
        batch: Int[Tensor, " batch"],
    ) -> Float[Tensor, " heads"]:
        scores = _scores(parameters, self.form(self.x[batch]))
        return classification_losses(scores, self.targets[batch])

    def values(
        self,
        parameters: Parameters,
        heads: Int[Tensor, " heads"],  # noqa: ARG002  all read the same
    ) -> list[float]:
        parts = [
            self.judge.predict(_scores(parameters, self.form(x)))
            for x in torch.split(self.valid, _UNITS_AT_ONCE)
        ]
        return self.judge.values(np.concatenate(parts, axis=1))
