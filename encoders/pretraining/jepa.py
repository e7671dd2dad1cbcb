"""The step: encode the visible tokens, predict the teacher's features of the hidden ones."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.masks import Grid, Selection
from probe_bench.encoders.pretraining.objective import token_loss
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.targets import build_targets
from probe_bench.encoders.pretraining.teacher import frozen_copy, update_ema
from probe_bench.encoders.pretraining.transformer import (
    Transformer,
    TransformerShape,
    sincos_positions,
)

__all__ = ["Backbone", "Jepa", "Predictor", "StepOutput"]


class Backbone(nn.Module):
    """Front end, positions and transformer: the part that is kept after pretraining."""

    positions: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        shape = recipe.encoder
        self.frontend = recipe.frontend.build(recipe.sample_rate_hz, shape.dim)
        self.transformer = Transformer(shape)
        positions = recipe.position_scale * sincos_positions(recipe.grid, shape.dim)
        self.register_buffer("positions", positions, persistent=False)

    def tokens(
        self, features: Float[Tensor, "batch steps channels"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Input of the first block; waveforms shorter than the crop use the first positions."""
        tokens = self.frontend.project(features)
        return tokens + self.positions[: tokens.shape[1]]


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
        encoded: Float[Tensor, "batch visible dim"],
        context: Selection,
        targets: Selection,
    ) -> Float[Tensor, "predicted dim"]:
        """Predict every group's targets in one batch of `batch * groups` sequences.

        Padded targets are dropped before the outward projection, so nothing that the loss would
        not read is projected; rows come in the order of `targets.index[targets.valid]`.
        """
        batch, groups, chosen = targets.index.shape
        seen = self.inward(encoded) + self.positions[context.index]
        asked = self.mask_token + self.positions[targets.index]
        tokens = torch.cat([seen[:, None].expand(-1, groups, -1, -1), asked.to(seen.dtype)], dim=2)
        outputs = self.transformer(tokens.flatten(0, 1), _valid(context, targets))
        predicted = outputs[-1][:, -chosen:].reshape(batch, groups, chosen, -1)
        rows = predicted.flatten(0, 2) if targets.valid is None else predicted[targets.valid]
        return self.outward(self.transformer.norm(rows))  # type: ignore[no-any-return]


def _valid(context: Selection, targets: Selection) -> Tensor | None:
    """Padding mask of the predictor's sequences, or None if nothing is padded."""
    if context.valid is None and targets.valid is None:
        return None
    batch, groups, chosen = targets.index.shape
    everything = torch.ones((), dtype=torch.bool, device=targets.index.device)
    seen = everything if context.valid is None else context.valid[:, None]
    asked = everything if targets.valid is None else targets.valid
    visible = context.index.shape[1]
    parts = [seen.expand(batch, groups, visible), asked.expand(batch, groups, chosen)]
    return torch.cat(parts, dim=2).flatten(0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutput:
    """What one forward pass leaves for the loss and the monitors.

    Attributes:
        loss: Mean over all predicted tokens.
        stem: Tokens before positions were added, without gradient.
        teacher: Last block's output of the teacher on the full input.
    """

    loss: Float[Tensor, ""]
    stem: Float[Tensor, "batch tokens dim"]
    teacher: Float[Tensor, "batch tokens dim"]


class Jepa(nn.Module):
    """Encoder, predictor and teacher of a recipe."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = Backbone(recipe)
        self.predictor = Predictor(recipe.predictor, recipe.grid, recipe.encoder.dim)
        whole = recipe.teacher.covers == "encoder"
        self.teacher = frozen_copy(self.encoder if whole else self.encoder.transformer)

    def forward(
        self,
        waveform: Float[Tensor, "batch samples"],
        context: Selection,
        targets: Selection,
    ) -> StepOutput:
        """Loss of one batch."""
        features = self.encoder.frontend.features(waveform)
        tokens = self.encoder.tokens(features)
        outputs = self.teach(waveform, tokens)
        target = build_targets(outputs, self.recipe.targets)
        visible = _take(tokens, context.index)
        encoded = self.encoder.transformer(visible, context.valid)[-1]
        predicted = self.predictor(self.encoder.transformer.norm(encoded), context, targets)
        wanted = _take(target, targets.index.flatten(1)).view(*targets.index.shape, -1)
        rows = wanted.flatten(0, 2) if targets.valid is None else wanted[targets.valid]
        return StepOutput(
            loss=token_loss(predicted.float(), rows, self.recipe.objective).mean(),
            stem=(tokens - self.encoder.positions).detach().float(),
            teacher=outputs[-1].float(),
        )

    @torch.no_grad()
    def teach(
        self,
        waveform: Float[Tensor, "batch samples"],
        tokens: Float[Tensor, "batch tokens dim"],
    ) -> list[Float[Tensor, "batch tokens dim"]]:
        """Outputs of the teacher's blocks on the full input; the last one normed if so asked."""
        transformer = self.teacher
        if isinstance(self.teacher, Backbone):
            tokens = self.teacher.tokens(self.teacher.frontend.features(waveform))
            transformer = self.teacher.transformer
        assert isinstance(transformer, Transformer)
        outputs: list[Tensor] = transformer(tokens.detach())
        if self.recipe.targets.final_norm:
            outputs[-1] = transformer.norm(outputs[-1])
        return outputs

    def update_teacher(self, rate: float) -> None:
        """Move the teacher towards the encoder."""
        whole = isinstance(self.teacher, Backbone)
        student = self.encoder if whole else self.encoder.transformer
        update_ema(self.teacher.parameters(), student.parameters(), rate)


def _take(tokens: Tensor, index: Tensor) -> Tensor:
    """Gather tokens of every row."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))
