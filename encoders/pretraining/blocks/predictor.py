"""Predictor: from the encoded context to what is hidden."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.blocks.transformer import (
    Transformer,
    TransformerShape,
    sincos_positions,
)
from probe_bench.encoders.pretraining.masking.masks import Grid, Selection, chosen_rows

__all__ = ["Predictor", "PredictorShape", "TransformerPredictor"]


@runtime_checkable
class PredictorShape(Protocol):
    """Geometry of a predictor."""

    def build_predictor(self, grid: Grid, encoder_dim: int) -> nn.Module:
        """Make the module that maps the encoded context and two selections to predicted rows."""
        ...


@dataclass(frozen=True, kw_only=True)
class TransformerPredictor(TransformerShape):
    """Narrow transformer; its `dim` may differ from the encoder's."""

    def build_predictor(self, grid: Grid, encoder_dim: int) -> "Predictor":
        """Make the module."""
        return Predictor(self, grid, encoder_dim)


class Predictor(nn.Module):
    """Narrow transformer over the context and one group's mask tokens."""

    positions: Tensor

    def __init__(self, shape: TransformerShape, grid: Grid, encoder_dim: int) -> None:
        super().__init__()
        self.transformer = Transformer(shape)
        self.inward = nn.Linear(encoder_dim, shape.dim)
        self.outward = nn.Linear(shape.dim, encoder_dim)
        self.mask_token = nn.Parameter(torch.empty(shape.dim).normal_(std=0.02))
        self.register_buffer("positions", sincos_positions(grid, shape.dim), persistent=False)

    def forward(
        self,
        encoded: Float[Tensor, "rows visible dim"],
        context: Selection,
        targets: Selection,
    ) -> Float[Tensor, "predicted dim"]:
        """Predict every group's targets in one batch of `rows * groups` sequences.

        Padded targets are dropped before the outward projection, so nothing that the loss would
        not read is projected; rows come in the order of `targets.index[targets.valid]`.
        """
        rows, groups, chosen = targets.index.shape
        seen = self.inward(encoded) + self.positions[context.index]
        asked = self.mask_token + self.positions[targets.index]
        tokens = torch.cat([seen[:, None].expand(-1, groups, -1, -1), asked.to(seen.dtype)], dim=2)
        outputs = self.transformer.last(tokens.flatten(0, 1), _valid(context, targets))
        predicted = outputs[:, encoded.shape[1] :].reshape(rows, groups, chosen, outputs.shape[2])
        return self.outward(self.transformer.norm(chosen_rows(predicted, targets)))  # type: ignore[no-any-return]


def _valid(context: Selection, targets: Selection) -> Tensor | None:
    """Padding mask of the predictor's sequences, or None if nothing is padded."""
    if context.valid is None and targets.valid is None:
        return None
    rows, groups, chosen = targets.index.shape
    everything = torch.ones((), dtype=torch.bool, device=targets.index.device)
    seen = everything if context.valid is None else context.valid[:, None]
    asked = everything if targets.valid is None else targets.valid
    visible = context.index.shape[1]
    parts = [seen.expand(rows, groups, visible), asked.expand(rows, groups, chosen)]
    return torch.cat(parts, dim=2).flatten(0, 1)
