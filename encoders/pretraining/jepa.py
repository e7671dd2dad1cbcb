"""The step: encode what is visible, predict the features of what is hidden."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.backbone import Backbone
from probe_bench.encoders.pretraining.blocks.stack import BlockStack
from probe_bench.encoders.pretraining.gather import n_rows, world_size
from probe_bench.encoders.pretraining.losses.codes import RandomQuantiser
from probe_bench.encoders.pretraining.losses.objective import token_loss
from probe_bench.encoders.pretraining.masking.masks import Selection, chosen_rows, gather_tokens
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.teacher import frozen_copy, update_ema

__all__ = ["Jepa", "MaskedBatch", "StepOutput"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedBatch:
    """What one step of masked prediction sees.

    Attributes:
        waveform: Clips; each may have several rows of masks (all clips, then all again).
        visible: True where the context encoder sees the token.
        context: The same as token numbers.
        targets: Tokens to predict.
    """

    waveform: Float[Tensor, "batch *microphones samples"]
    visible: Bool[Tensor, "rows tokens"]
    context: Selection
    targets: Selection

    def to(self, device: torch.device) -> "MaskedBatch":
        """Move to a device."""
        return MaskedBatch(
            waveform=self.waveform.to(device, non_blocking=True),
            visible=self.visible.to(device, non_blocking=True),
            context=self.context.to(device),
            targets=self.targets.to(device),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutput:
    """What one forward pass leaves for the optimiser and the monitors.

    Attributes:
        loss: What is minimised.
        prediction: Unweighted distance to the targets.
        penalty: Unweighted regulariser; 0 without one.
        embeddings: What the regulariser saw or would see, without gradient.
        targets: The target encoder's last output on whole clips, without gradient; None where there is
            no such encoder.
    """

    loss: Float[Tensor, ""]
    prediction: Float[Tensor, ""]
    penalty: Float[Tensor, ""]
    embeddings: Float[Tensor, "all projected"]
    targets: Float[Tensor, "batch tokens dim"] | None


class Jepa(nn.Module):
    """Encoder with what trains it: predictor, projector, mask token and teacher, each if asked for."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        dim = recipe.encoder.dim
        self.recipe = recipe
        self.encoder = Backbone(recipe)
        if recipe.predictor is not None:
            self.predictor = recipe.predictor.build_predictor(recipe.grid, dim)
        self.projector = nn.Identity() if recipe.projector is None else recipe.projector.build(dim)
        width = recipe.patch_pixels or dim if recipe.reads_input else dim
        codes = recipe.targets.codes
        self.quantiser = RandomQuantiser(width, codes) if codes else nn.Identity()
        latent = not (recipe.reads_input or codes)
        self.head = nn.Identity() if latent else nn.Linear(dim, codes or width)
        if recipe.hiding == "mask_token":
            self.mask_token = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        if recipe.teacher is not None:
            whole = recipe.teacher.covers == "encoder"
            self.teacher = frozen_copy(self.encoder if whole else self.encoder.transformer)

    def forward(self, batch: MaskedBatch) -> StepOutput:
        """Compute the loss of one batch."""
        recipe, encoder = self.recipe, self.encoder
        features = encoder.frontend.features(batch.waveform)
        tokens = encoder.tokens(features)
        whole = encoder.transformer(tokens) if self._sees_all else None
        if recipe.reads_input:
            outputs = [features]
        elif recipe.teacher is not None:
            # A log-mel without weights is the same for both: it is computed once.
            shared = None if encoder.frontend.learns_features else features
            outputs = self.teach(batch.waveform, tokens, shared)
        else:
            outputs = self._own_targets(whole)
        wanted = self._wanted(outputs, batch.targets)
        copies = len(batch.visible) // len(tokens)
        tokens = tokens.repeat(copies, 1, 1)
        if recipe.hiding == "after_encoder":
            assert whole is not None
            encoded = gather_tokens(whole[-1].repeat(copies, 1, 1), batch.context.index)
            encoded = encoder.transformer.norm(encoded)
        else:
            encoded = self._encode(tokens, batch)
        predicted = self.head(self.projector(self._predict(encoded, batch))).float()
        embeddings = self._embeddings(encoded, whole, batch)
        return self._output(
            predicted, wanted, embeddings, None if recipe.reads_input else outputs[-1]
        )

    @property
    def _sees_all(self) -> bool:
        """Whether the student encodes the whole clip, for its own targets or for the predictor."""
        own_targets = self.recipe.teacher is None and not self.recipe.reads_input
        return own_targets or self.recipe.hiding == "after_encoder"

    def _own_targets(self, whole: list[Tensor] | None) -> list[Tensor]:
        """Targets from the student's own blocks; the last one normed if so asked."""
        assert whole is not None
        outputs = [x.detach() for x in whole] if self.recipe.stop_gradient else list(whole)
        if self.recipe.targets.final_norm:
            outputs[-1] = self.encoder.transformer.norm(outputs[-1])
        return outputs

    @torch.no_grad()
    def teach(
        self,
        waveform: Float[Tensor, "batch *microphones samples"],
        tokens: Float[Tensor, "batch tokens dim"],
        features: Float[Tensor, "batch steps channels"] | None = None,
    ) -> list[Float[Tensor, "batch tokens dim"]]:
        """Outputs of the teacher's blocks on the whole clip; the last one normed if so asked.

        Args:
            waveform: Whole clips.
            tokens: The student's; the teacher's too where it has no front end of its own.
            features: Of the front end, where they are known; else the teacher's own are computed.
        """
        transformer: nn.Module = self.teacher
        if isinstance(self.teacher, Backbone):
            if features is None:
                features = self.teacher.frontend.features(waveform)
            tokens = self.teacher.tokens(features)
            transformer = self.teacher.transformer
        assert isinstance(transformer, BlockStack)
        outputs: list[Tensor] = transformer(tokens.detach())
        if self.recipe.targets.final_norm:
            outputs[-1] = transformer.norm(outputs[-1])
        return outputs

    def _wanted(self, outputs: list[Tensor], targets: Selection) -> Tensor:
        """Target rows in the loss's space, without gradient unless the recipe keeps it."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.recipe.stop_gradient):
            target = self.quantiser(self.recipe.targets.build(outputs))
            copies = len(targets.index) // len(target)
            rows = gather_tokens(target.repeat(copies, 1, 1), targets.index)
            return self.projector(chosen_rows(rows, targets)).float()  # type: ignore[no-any-return]

    def _encode(self, tokens: Tensor, batch: MaskedBatch) -> Tensor:
        """Encode with hidden tokens dropped, or replaced by the mask token."""
        transformer, encoder = self.encoder.transformer, self.encoder
        if self.recipe.hiding == "drop":
            visible = gather_tokens(tokens, batch.context.index)
            return transformer.norm(transformer.last(visible, batch.context.valid))  # type: ignore[no-any-return]
        masked = (self.mask_token + encoder.positions).to(tokens.dtype)
        return transformer.norm(  # type: ignore[no-any-return]
            transformer(torch.where(batch.visible[..., None], tokens, masked))[-1]
        )

    def _predict(self, encoded: Tensor, batch: MaskedBatch) -> Tensor:
        """Rows of the hidden tokens, from the predictor or from the encoder's own mask tokens."""
        if self.recipe.predictor is None:
            return chosen_rows(gather_tokens(encoded, batch.targets.index), batch.targets)
        if self.recipe.hiding == "mask_token":
            encoded = gather_tokens(encoded, batch.context.index)
        return self.predictor(encoded, batch.context, batch.targets)  # type: ignore[no-any-return]

    def _embeddings(
        self, encoded: Tensor, whole: list[Tensor] | None, batch: MaskedBatch
    ) -> Tensor:
        """Projected rows of what the student sees: the whole clip if it can, else the context."""
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and self.recipe.regulariser is not None
        ):
            if whole is not None:
                rows = self.encoder.transformer.norm(whole[-1]).flatten(0, 1)
            elif self.recipe.hiding == "drop":
                rows = chosen_rows(encoded, batch.context)
            else:
                rows = chosen_rows(gather_tokens(encoded, batch.context.index), batch.context)
            return self.projector(rows).float()  # type: ignore[no-any-return]

    def _output(
        self, predicted: Tensor, wanted: Tensor, embeddings: Tensor, target: Tensor | None
    ) -> StepOutput:
        # DDP averages gradients over processes: each one's sum over the tokens of all, times their
        # number, makes that the gradient of the mean over all tokens.
        # Short spans at a low probability may leave a batch without any target.
        share = world_size() / max(n_rows(predicted), 1)
        prediction = token_loss(predicted, wanted, self.recipe.objective).sum() * share
        rule = self.recipe.regulariser
        penalty = prediction.new_zeros(()) if rule is None else rule.penalty(embeddings)
        weight = 0.0 if rule is None else rule.weight
        return StepOutput(
            loss=self.recipe.objective_weight * prediction + weight * penalty,
            prediction=prediction.detach(),
            penalty=penalty.detach(),
            embeddings=embeddings.detach(),
            targets=None if target is None else target.detach().float(),
        )

    def update_teacher(self, rate: float) -> None:
        """Move the teacher towards the encoder."""
        whole = isinstance(self.teacher, Backbone)
        student = self.encoder if whole else self.encoder.transformer
        update_ema(self.teacher.parameters(), student.parameters(), rate)
