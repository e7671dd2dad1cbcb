"""Convolutional stem on the waveform (wav2vec 2.0's, as WavJEPA shapes it)."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import prod
from operator import mul
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.frontends.frontend import Frontend, standardise
from probe_bench.encoders.pretraining.ranges import Count, Range, Ranged, Share

__all__ = ["ConvStem", "ConvStemShape"]


@dataclass(frozen=True, kw_only=True)
class ConvStemShape(Ranged):
    """Convolutions without padding or bias, GELU after each, channel-wise group norm on the first.

    Attributes:
        channels: Output channels of every convolution.
        kernels: Kernel sizes in samples of each convolution's input.
        strides: Strides; their product is the hop.
        smooth_start: Share of the variance of the initial kernels that is constant along a kernel,
            after the first convolution. Such a stem starts as smoothed, rectified bands, whose
            slow course can be predicted; white kernels start from the phase, which cannot.
        microphones: Channels of the waveform. Each has convolutions of its own and gives a token a
            frame; norm and projection are shared (WavJEPA-Nat: 2).
    """

    channels: Sequence[Count] = (512,) * 6
    kernels: Sequence[Count] = (10, 3, 3, 3, 3, 2)
    strides: Sequence[Count] = (5, 2, 2, 2, 2, 2)
    smooth_start: Share = 0.0
    microphones: Annotated[int, Range(1, 2)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = {len(self.channels), len(self.kernels), len(self.strides)}
        if len(lengths) > 1 or lengths == {0}:
            raise ValueError(
                f"{len(self.channels)} channels, {len(self.kernels)} kernels, {len(self.strides)} "
                "strides; expected one of each for every convolution"
            )

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
    def min_samples(self) -> int:
        """Samples that give one frame."""
        return self.receptive_field_samples

    def frames(self, samples: int) -> int:
        """Output frames of a waveform: whole receptive fields only, no padding."""
        return max(0, (samples - self.receptive_field_samples) // self.stride_samples + 1)

    @property
    def first_frame_samples(self) -> Fraction:
        """Centre of the first receptive field."""
        return Fraction(self.receptive_field_samples, 2)

    @property
    def token_bands(self) -> int:
        """One token a frame and microphone."""
        return self.microphones

    @property
    def feature_dim(self) -> int | None:
        """Channels of the last convolution, those of all microphones side by side."""
        return self.microphones * self.channels[-1]

    def build(self, sample_rate_hz: int, dim: int) -> "ConvStem":  # noqa: ARG002
        """Make the stem; it is the same at every sample rate."""
        return ConvStem(self, dim)


class ConvStem(Frontend):
    """Standardised waveform -> convolutions -> layer norm -> linear.

    The microphones' convolutions run as groups of one convolution, so its kernels hold the first
    microphone's output channels first.
    """

    def __init__(self, shape: ConvStemShape, dim: int) -> None:
        super().__init__()
        self.microphones = shape.microphones
        inputs = [1, *shape.channels[:-1]]
        self.convs = nn.ModuleList(
            nn.Conv1d(
                i * self.microphones,
                o * self.microphones,
                k,
                s,
                bias=False,
                groups=self.microphones,
            )
            for i, o, k, s in zip(inputs, shape.channels, shape.kernels, shape.strides, strict=True)
        )
        for number, kernel in enumerate(self.convs.parameters()):
            nn.init.kaiming_normal_(kernel)
            _smooth(kernel, shape.smooth_start if number else 0.0)
        # One group a channel: every channel is normalised over time, which evens out the level.
        normed = self.microphones * shape.channels[0]
        self.first_norm = nn.GroupNorm(normed, normed)
        self.norm = nn.LayerNorm(shape.channels[-1])
        self.projection = nn.Linear(shape.channels[-1], dim)

    def features(
        self, waveform: Float[Tensor, "batch *microphones samples"]
    ) -> Float[Tensor, "batch frames channels"]:
        """Convolve; output of the last GELU. A mono waveform is heard by every microphone."""
        x = waveform[:, None] if waveform.ndim == 2 else waveform
        x = x.expand(-1, self.microphones, -1)
        # One mean and level for all microphones: their differences tell where a source stands.
        x = standardise(x.flatten(1), eps=1e-5).view(x.shape)
        for number, conv in enumerate(self.convs):
            x = conv(x)
            x = F.gelu(self.first_norm(x) if number == 0 else x)
        return x.transpose(1, 2)

    def project(
        self, features: Float[Tensor, "batch frames channels"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Normalise and map to the encoder's width; a frame's microphones follow each other."""
        tokens = features.reshape(features.shape[0], -1, features.shape[2] // self.microphones)
        return self.projection(self.norm(tokens))  # type: ignore[no-any-return]


@torch.no_grad()
def _smooth(kernel: Tensor, share: float) -> None:
    """Make `share` of a white kernel's variance constant along its samples, in place."""
    # The mean of k independent weights has 1/k of their variance; sqrt(k) restores it.
    constant = kernel.mean(2, keepdim=True) * kernel.shape[2] ** 0.5
    kernel.mul_((1 - share) ** 0.5).add_(constant, alpha=share**0.5)
