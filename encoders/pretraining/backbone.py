"""Backbone: front end, positions and blocks, the part that is kept after pretraining."""

from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.blocks.transformer import sincos_positions
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["Backbone"]


class Backbone(nn.Module):
    """Encoder of a recipe; positions are a constant of its grid."""

    positions: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        dim = recipe.encoder.dim
        self.frontend = recipe.frontend.build(recipe.sample_rate_hz, dim)
        self.transformer = recipe.encoder.build()
        positions = recipe.position_scale * sincos_positions(recipe.grid, dim)
        self.register_buffer("positions", positions, persistent=False)

    def tokens(
        self, features: Float[Tensor, "batch steps channels"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Input of the first block; waveforms shorter than the crop use the first positions."""
        tokens = self.frontend.project(features)
        return tokens + self.positions[: tokens.shape[1]]
