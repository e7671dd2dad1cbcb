"""Target rules: from a teacher's block outputs, or from the input itself, to what is predicted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoders.pretraining.ranges import Count, Ranged, Whole

__all__ = ["Normalisation", "TargetRule", "normalise", "standardise_tokens"]

Normalisation = Literal["instance", "channel", "layer", "none"]


@dataclass(frozen=True, kw_only=True)
class TargetRule(Ranged):
    """How targets are made.

    Attributes:
        source: `encoder`: outputs of the teacher's blocks, or the encoder's own; `input`: the front
            end's patches, as in masked autoencoders (MAE, arXiv 2111.06377), where `layer` is
            the norm over each patch and `none` the plain log-mel.
        top_k: Number of last blocks whose outputs are averaged.
        normalisation: Applied to each block's output before the average, or to the patches.
        final_norm: Take the output of the encoder's final norm as the last block's.
        standardise: Standardise every target token over its features after the average.
        codes: Classes of a fixed random-projection quantiser that targets are turned into, for the
            objective `cross_entropy` (BEST-RQ, arXiv 2202.01855); 0 for none.
    """

    source: Literal["encoder", "input"] = "encoder"
    top_k: Count = 1
    normalisation: Normalisation = "none"
    final_norm: bool = False
    standardise: bool = False
    codes: Whole = 0

    def build(
        self, outputs: Sequence[Float[Tensor, "batch tokens dim"]]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Average the last `top_k` normalised outputs, in float32.

        A rule of another kind is a frozen dataclass below this one with a `build` of its own.
        """
        chosen = [normalise(x.float(), self.normalisation) for x in outputs[-self.top_k :]]
        mean = torch.stack(chosen).mean(0) if len(chosen) > 1 else chosen[0]
        return standardise_tokens(mean) if self.standardise else mean


def normalise(
    x: Float[Tensor, "batch tokens dim"], normalisation: Normalisation
) -> Float[Tensor, "batch tokens dim"]:
    """Normalise one block's output with biased variance and epsilon 1e-5.

    `instance`: one mean and variance a sample, over tokens and features together. WavJEPA calls
    instance norm on (layers, batch, features, time), so its "channels" are the batch.
    `channel`: per feature over tokens (data2vec, arXiv 2202.03555): a high-pass in time.
    `layer`: per token over features, without affine (I-JEPA).
    """
    match normalisation:
        case "instance":
            return F.layer_norm(x, x.shape[1:])
        case "channel":
            return F.instance_norm(x.transpose(1, 2)).transpose(1, 2)
        case "layer":
            return F.layer_norm(x, x.shape[2:])
        case "none":
            return x


def standardise_tokens(x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
    """(t - mean) / sqrt(unbiased variance + 1e-6) of every token over its features (M2D, Audio-JEPA)."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().sum(-1, keepdim=True) / (x.shape[-1] - 1) + 1e-6).sqrt()
