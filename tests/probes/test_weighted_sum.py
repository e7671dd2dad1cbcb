"""The weighted sum of layers: planted layers, and what its change of units must not change."""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from probe_bench.encoder import Layer
from probe_bench.probes.heads import grid
from probe_bench.probes.judging import Judge
from probe_bench.probes.weighted_sum import (
    WeightedSum,
    WeightedSumConfig,
    summable,
    train_weighted_sum,
)

LAYERS, DIM = 5, 6
CONFIG = WeightedSumConfig(settings=grid(lr=(0.03,)), max_epochs=25, patience=25)


class Last(Judge):
    """Likes every epoch more than the one before."""

    epochs: ClassVar[Iterator[int]] = count()

    def values(self, predicted: np.ndarray) -> list[float]:
        return [float(next(self.epochs))] * len(predicted)


def planted(layer: int, *, scale: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise on all layers; the class on one, hard enough to go on learning."""
    g = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 3, (900,), generator=g)
    x = torch.randn(900, LAYERS, DIM, generator=g)
    codes = 1.2 * torch.randn(3, DIM, generator=g)
    x[:, layer] += codes[targets]
    x[:, layer] *= scale
    return x + 7.0, targets


def train(
    x: Tensor, targets: Tensor, config: WeightedSumConfig = CONFIG, kind: type[Judge] = Judge
) -> WeightedSum:
    judge = kind(metric="accuracy", targets=targets[600:].numpy(), n_classes=3)
    return train_weighted_sum(
        x[:600], targets[:600], judge, x[600:], units_per_step=64, seed=0, config=config
    )


@pytest.mark.parametrize("layer", [0, 3])
def test_it_finds_the_layer_that_knows(layer: int) -> None:
    found = train(*planted(layer), kind=Last)
    assert found.layer_weights.argmax() == layer
    assert float(found.layer_weights[layer]) > 0.9
    assert float(found.layer_weights.sum()) == pytest.approx(1)


def test_layers_of_any_scale_are_heard_where_they_are_normed() -> None:
    """A layer a thousand times smaller is lost in the plain sum; layer norm gives it its weight."""
    found = train(*planted(2, scale=1e-3))
    assert found.setting == "lr=0.03;layer_norm=yes"
    assert float(found.layer_weights[2]) > 0.5


def test_the_change_of_units_leaves_the_protocol_as_it_is() -> None:
    """The scores are an affine map of the softmax-weighted sum of the raw (or normed) layers."""
    x, targets = planted(1)
    found = train(x, targets, dataclasses.replace(CONFIG, max_epochs=3))
    raw = layer_norm(x, (DIM,)) if found.form.normed else x
    summed = torch.einsum("l,uld->ud", found.layer_weights, raw).double().numpy()
    scores = found.scores(x)[0].double().numpy()
    columns = np.column_stack([summed, np.ones(len(summed))])
    fitted = columns @ np.linalg.lstsq(columns, scores, rcond=None)[0]
    assert np.abs(scores - fitted).max() < 1e-4 * np.abs(scores).max()


def test_the_largest_set_of_equal_dim_is_summed() -> None:
    class Encoder:
        encoder = "e"

        def __init__(self, dims: list[int]) -> None:
            self.layers = tuple(
                Layer(
                    name=f"L{k}",
                    dim=dim,
                    depth=0.0,
                    frame_rate_hz=Fraction(50 + k),
                    first_frame_s=Fraction(0),
                )
                for k, dim in enumerate(dims)
            )

        def pooled(self, layer: int) -> Tensor: ...
        def n_frames(self, layer: int) -> Tensor: ...
        def frames(self, layer: int, clips: list[int]) -> list[Tensor]: ...

    assert summable(Encoder([96, 128, 128, 128])) == [1, 2, 3]
    assert summable(Encoder([8, 8, 4, 4])) == [2, 3]
    assert summable(Encoder([8])) == [0]
