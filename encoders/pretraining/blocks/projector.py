"""Projector: the head between encoder and loss that is dropped after pretraining."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.gather import all_sum, n_rows
from probe_bench.encoders.pretraining.ranges import Count, Ranged

__all__ = ["GatheredBatchNorm", "Projector", "ProjectorShape"]


@dataclass(frozen=True, kw_only=True)
class ProjectorShape(Ranged):
    """Geometry of a projector.

    Attributes:
        dim: Width of the output.
        hidden: Widths of the hidden layers; none for a linear map.
        norm: Of the hidden layers.
        rectify: End in a ReLU (Rectified LpJEPA, where it is essential).
    """

    dim: Count
    hidden: tuple[Count, ...] = ()
    norm: Literal["batch", "none"] = "batch"
    rectify: bool = False

    def build(self, encoder_dim: int) -> "Projector":
        """Make the module."""
        return Projector(self, encoder_dim)


class GatheredBatchNorm(nn.Module):
    """Batch norm by the statistics of the batch on all processes.

    There are no running statistics: a projector is only ever used in training.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        """Standardise every dimension over the rows."""
        count, rows = n_rows(rows), rows.float()
        centred = rows - all_sum(rows.sum(0)) / count
        variance = all_sum(centred.square().sum(0)) / count
        return centred * (variance + self.eps).rsqrt() * self.weight + self.bias


class Projector(nn.Module):
    """Linear map or multilayer perceptron over rows of embeddings."""

    def __init__(self, shape: ProjectorShape, encoder_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = encoder_dim
        for hidden in shape.hidden:
            layers.append(nn.Linear(width, hidden))
            layers += [GatheredBatchNorm(hidden)] * (shape.norm == "batch")
            layers.append(nn.ReLU())
            width = hidden
        layers.append(nn.Linear(width, shape.dim))
        layers += [nn.ReLU()] * shape.rectify
        self.layers = nn.Sequential(*layers)

    def forward(self, embeddings: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes projected"]:
        """Project every embedding."""
        rows = self.layers(embeddings.flatten(0, -2))
        return rows.unflatten(0, embeddings.shape[:-1])  # type: ignore[no-any-return]
