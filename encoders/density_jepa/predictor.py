"""The predictor: a convolutional Conformer over all frames, hidden ones replaced by a mask token."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.blocks.conformer import Conformer, ConformerShape
from probe_bench.encoders.pretraining.masking.masks import (
    Grid,
    Selection,
    chosen_rows,
    gather_tokens,
)

__all__ = ["ConvPredictor", "ConvPredictorShape"]


@dataclass(frozen=True, kw_only=True)
class ConvPredictorShape:
    """Geometry of the predictor; defaults as published.

    Attributes:
        width: Of the Conformers over the encoder's.
        heads: Attention heads.
        kernel: Frames of the depthwise convolutions.
        mlp_ratio: Hidden width of the feed-forward layers over the Conformers'.
    """

    width: int = 2
    heads: int = 16
    kernel: int = 31
    mlp_ratio: float = 4.0

    def build_predictor(self, grid: Grid, encoder_dim: int) -> "ConvPredictor":
        """Make the predictor of a token grid."""
        return ConvPredictor(self, grid, encoder_dim)


class ConvPredictor(nn.Module):
    """1x1, GELU, Conformer, 1x1, GELU, Conformer, 1x1."""

    def __init__(self, shape: ConvPredictorShape, grid: Grid, encoder_dim: int) -> None:
        super().__init__()
        conformer = ConformerShape(
            dim=shape.width * encoder_dim,
            depth=1,
            heads=shape.heads,
            kernel=shape.kernel,
            mlp_ratio=shape.mlp_ratio,
            activation="gelu",
            norm="clip",
        )
        self.tokens = grid.tokens
        self.inward = nn.Linear(encoder_dim, conformer.dim)
        self.between = nn.Linear(conformer.dim, conformer.dim)
        self.outward = nn.Linear(conformer.dim, encoder_dim)
        for linear in (self.inward, self.between, self.outward):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        self.first, self.second = Conformer(conformer), Conformer(conformer)
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(encoder_dim), std=0.02))

    def forward(
        self,
        encoded: Float[Tensor, "batch visible dim"],
        context: Selection,
        targets: Selection,
    ) -> Float[Tensor, "predicted dim"]:
        """Predict the targets from the visible frames.

        Every hidden frame holds the mask token, whichever group it belongs to, so one pass serves
        all groups; rows come in the order of `targets.index[targets.valid]`.
        """
        hidden = self.fill(encoded, context)
        hidden = self.first(F.gelu(self.inward(hidden)))[-1]
        hidden = self.second(F.gelu(self.between(hidden)))[-1]
        rows = chosen_rows(gather_tokens(hidden, targets.index), targets)
        return self.outward(rows)  # type: ignore[no-any-return]

    def fill(
        self, encoded: Float[Tensor, "batch visible dim"], context: Selection
    ) -> Float[Tensor, "batch tokens dim"]:
        """Put the visible frames in their places and the mask token everywhere else."""
        blank = self.mask_token.to(encoded.dtype)
        if context.valid is not None:
            # Padding points at hidden tokens: what is written there is the mask token again.
            encoded = torch.where(context.valid[..., None], encoded, blank)
        index = context.index[..., None].expand_as(encoded)
        tokens = blank.expand(len(encoded), self.tokens, -1)
        return tokens.scatter(1, index, encoded)
