"""Convolutional stem on the waveform (wav2vec 2.0's, as WavJEPA shapes it)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from operator import mul

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.frontend import Frontend, standardise

__all__ = ["ConvStem", "ConvStemShape"]


@dataclass(frozen=True, kw_only=True)
class ConvStemShape:
    """Convolutions without padding or bias, GELU after each, channel-wise group norm on the first.

    Attributes:
        channels: Output channels of every convolution.
        kernels: Kernel sizes in samples of each convolution's input.
        strides: Strides; their product is the hop.
        smooth_start: Share of the variance of the initial kernels that is constant along a kernel,
            after the first convolution. Such a stem starts as smoothed, rectified bands, whose
            slow course can be predicted; white kernels start from the phase, which cannot.
    """

    channels: Sequence[int] = (512,) * 6
    kernels: Sequence[int] = (10, 3, 3, 3, 3, 2)
    strides: Sequence[int] = (5, 2, 2, 2, 2, 2)
    smooth_start: float = 0.0

    @property
    def receptive_field_samples(self) -> int:
        """Samples seen by one output frame: 1 + sum (k_i - 1) * product of the strides before i."""
        hops = accumulate(self.strides[:-1], mul, initial=1)
        return 1 + sum((k - 1) * hop for k, hop in zip(self.kernels, hops, strict=True))

    @property
    def stride_samples(self) -> int:
        """Samples between output frames."""
        return prod(self.strides)

    @property
    def token_bands(self) -> int:
        """One token a frame."""
        return 1

    @property
    def feature_dim(self) -> int | None:
        """Channels of the last convolution."""
        return self.channels[-1]

    def build(self, sample_rate_hz: int, dim: int) -> "ConvStem":  # noqa: ARG002
        """Make the stem; it is the same at every sample rate."""
        return ConvStem(self, dim)


class ConvStem(Frontend):
    """Standardised waveform -> convolutions -> layer norm -> linear."""

    def __init__(self, shape: ConvStemShape, dim: int) -> None:
        super().__init__()
        inputs = [1, *shape.channels[:-1]]
        self.convs = nn.ModuleList(
            nn.Conv1d(i, o, k, s, bias=False)
            for i, o, k, s in zip(inputs, shape.channels, shape.kernels, shape.strides, strict=True)
        )
        for number, kernel in enumerate(self.convs.parameters()):
            nn.init.kaiming_normal_(kernel)
            _smooth(kernel, shape.smooth_start if number else 0.0)
        # One group a channel: every channel is normalised over time, which evens out the level.
        self.first_norm = nn.GroupNorm(shape.channels[0], shape.channels[0])
        self.norm = nn.LayerNorm(shape.channels[-1])
        self.projection = nn.Linear(shape.channels[-1], dim)

    def features(
        self, waveform: Float[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch frames channels"]:
        """Convolve; output of the last GELU."""
        x = standardise(waveform, eps=1e-5)[:, None]
        for number, conv in enumerate(self.convs):
            x = conv(x)
            x = F.gelu(self.first_norm(x) if number == 0 else x)
        return x.transpose(1, 2)

    def project(
        self, features: Float[Tensor, "batch frames channels"]
    ) -> Float[Tensor, "batch frames dim"]:
        """Normalise and map to the encoder's width."""
        return self.projection(self.norm(features))  # type: ignore[no-any-return]


@torch.no_grad()
def _smooth(kernel: Tensor, share: float) -> None:
    """Make `share` of a white kernel's variance constant along its samples, in place."""
    # The mean of k independent weights has 1/k of their variance; sqrt(k) restores it.
    constant = kernel.mean(2, keepdim=True) * kernel.shape[2] ** 0.5
    kernel.mul_((1 - share) ** 0.5).add_(constant, alpha=share**0.5)
