"""The other step: embeddings of several views of a clip must agree, and a regulariser spreads them."""

from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.backbone import Backbone
from probe_bench.encoders.pretraining.jepa import StepOutput
from probe_bench.encoders.pretraining.losses.views import agreement
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["Agreement", "ViewBatch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewBatch:
    """What one step of view agreement sees.

    Attributes:
        waveform: Whole clips, for the monitors.
        views: Pieces of the clips; long ones first.
    """

    waveform: Float[Tensor, "batch samples"]
    views: list[Float[Tensor, "batch *microphones _"]]

    def to(self, device: torch.device) -> "ViewBatch":
        """Move to a device."""
        views = [view.to(device, non_blocking=True) for view in self.views]
        return ViewBatch(waveform=self.waveform.to(device, non_blocking=True), views=views)


class Agreement(nn.Module):
    """Encoder and projector; no teacher, no predictor, no stop-gradient."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = Backbone(recipe)
        dim = recipe.encoder.dim
        self.projector = nn.Identity() if recipe.projector is None else recipe.projector.build(dim)

    def forward(self, batch: ViewBatch) -> StepOutput:
        """Compute the loss of one batch."""
        recipe = self.recipe
        assert recipe.views is not None
        pooled = torch.cat([self._embed(views) for views in _same_length(batch.views)])
        # One call over all views: the projector's batch norm sees them together.
        embeddings = self.projector(pooled).float().unflatten(0, (len(batch.views), -1))
        prediction = agreement(embeddings, recipe.views.global_views)
        rule = recipe.regulariser
        penalty = prediction.new_zeros(())
        if rule is not None:
            penalty = torch.stack([rule.penalty(view) for view in embeddings]).mean()
        weight = 0.0 if rule is None else rule.weight
        return StepOutput(
            loss=recipe.objective_weight * prediction + weight * penalty,
            prediction=prediction.detach(),
            penalty=penalty.detach(),
            embeddings=embeddings.detach().flatten(0, 1),
            targets=None,
        )

    def _embed(
        self, waveform: Float[Tensor, "rows *microphones samples"]
    ) -> Float[Tensor, "rows dim"]:
        """Embed every piece by the mean of its tokens."""
        encoder = self.encoder
        tokens = encoder.tokens(encoder.frontend.features(waveform))
        return encoder.transformer.norm(encoder.transformer(tokens)[-1]).mean(1)  # type: ignore[no-any-return]


def _same_length(views: list[Tensor]) -> list[Tensor]:
    """Stack neighbouring views of one length, so that each length is one pass."""
    return [torch.cat(list(group)) for _, group in groupby(views, key=lambda v: v.shape[-1])]
