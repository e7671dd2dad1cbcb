"""Codec: encoder, quantiser and waveform decoder in one module, and the recipe of its training."""

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from probe_bench.encoders.density_jepa.decoder import WaveDecoderShape
from probe_bench.encoders.density_jepa.discriminators import DiscriminatorShape
from probe_bench.encoders.density_jepa.fsq import FsqShape, codes_of, quantise, straight_through
from probe_bench.encoders.pretraining.backbone import Backbone
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.errors import UserError

__all__ = ["Codec", "CodecRecipe"]


@dataclass(frozen=True, kw_only=True)
class CodecRecipe:
    """Second stage: how tokens and a waveform decoder are made for a pretrained encoder.

    The loss is L1 + stft_weight * STFT distance + adversarial_weight * (adversarial loss + feature
    matching).

    Attributes:
        tokens: Quantiser and packing.
        decoder: Codes to waveform.
        discriminators: Judges of the waveform.
        batch_size: Crops in a step.
        steps: Length of the training.
        lr: Learning rate of decoder (and encoder), constant.
        discriminator_lr: Learning rate of the discriminators.
        betas: Of both Adams.
        weight_decay: Of both.
        stft_weight: Of the STFT distance.
        adversarial_weight: Of adversarial loss and feature matching.
        discriminators_from: Step from which the discriminators learn.
        adversarial_from: Step from which decoded waveforms are judged. The published code judges
            from step 0, by discriminators that have learnt nothing for their first 5000 steps.
        tune_encoder: Train the encoder as well (the paper) or leave it as it is (its code).
        precision: Of the forward pass; weights and losses are float32.
    """

    tokens: FsqShape
    decoder: WaveDecoderShape
    discriminators: DiscriminatorShape
    batch_size: int = 16
    steps: int = 29_000
    lr: float = 1.5e-4
    discriminator_lr: float = 0.75e-4
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 1e-3
    stft_weight: float = 2.0
    adversarial_weight: float = 0.1
    discriminators_from: int = 5_000
    adversarial_from: int = 5_000
    tune_encoder: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"

    def require_fit(self, encoder: Recipe) -> None:
        """Refuse an encoder whose frames are not those that the decoder expects.

        Raises:
            UserError: If width, bands or hop differ.
        """
        found = (encoder.frontend.token_bands, encoder.encoder.dim, encoder.frontend.stride_samples)
        wanted = (1, self.tokens.dims, prod(self.decoder.strides))
        if found != wanted:
            raise UserError(
                f"{encoder.system} {encoder.preset}: {found[0]} token(s) of {found[1]} dims every "
                f"{found[2]} samples; this decoder expects {wanted[0]} of {wanted[1]} every "
                f"{wanted[2]}; take the codec preset of the encoder's own preset"
            )


class Codec(nn.Module):
    """Waveform to token levels and back."""

    def __init__(self, encoder: Recipe, recipe: CodecRecipe) -> None:
        """Make both halves with fresh weights.

        Raises:
            UserError: If they do not fit.
        """
        super().__init__()
        recipe.require_fit(encoder)
        self.recipe = recipe
        self.encoder = Backbone(encoder)
        self.decoder = recipe.decoder.build(recipe.tokens.dims)

    def embed(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames dims"]:
        """Encode; the last block's output."""
        encoder = self.encoder
        tokens = encoder.tokens(encoder.frontend.features(waveform))
        return encoder.transformer.norm(encoder.transformer(tokens)[-1])  # type: ignore[no-any-return]

    def forward(
        self, waveform: Float[Tensor, "batch samples"]
    ) -> tuple[Float[Tensor, "batch decoded"], Int[Tensor, "batch frames dims"]]:
        """Encode, quantise and decode; the decoded waveform and the levels in between."""
        tuned = torch.is_grad_enabled() and self.recipe.tune_encoder
        with torch.set_grad_enabled(tuned):
            embedded = self.embed(waveform).float()
        codes = straight_through(embedded, self.recipe.tokens)
        return self.decoder(codes), quantise(embedded.detach(), self.recipe.tokens)

    def decode(self, levels: Int[Tensor, "batch frames dims"]) -> Float[Tensor, "batch decoded"]:
        """Decode token levels."""
        return self.decoder(codes_of(levels, self.recipe.tokens))  # type: ignore[no-any-return]
