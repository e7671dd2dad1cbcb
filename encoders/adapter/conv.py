"""Where the frames of an unpadded convolution stack lie in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import prod
from operator import mul

__all__ = ["ConvTiming"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvTiming:
    """Kernels and strides of convolutions without padding, in order.

    >>> wav2vec2 = ConvTiming(kernels=(10, 3, 3, 3, 3, 2, 2), strides=(5, 2, 2, 2, 2, 2, 2))
    >>> wav2vec2.hop_samples, wav2vec2.field_samples, wav2vec2.centre_samples
    (320, 400, Fraction(399, 2))
    """

    kernels: Sequence[int]
    strides: Sequence[int]

    @property
    def hop_samples(self) -> int:
        """Samples between frames: the product of the strides."""
        return prod(self.strides)

    @property
    def field_samples(self) -> int:
        """Samples seen by one frame: 1 + sum (k_i - 1) times the strides before i."""
        hops = accumulate(self.strides[:-1], mul, initial=1)
        return 1 + sum((kernel - 1) * hop for kernel, hop in zip(self.kernels, hops, strict=True))

    @property
    def centre_samples(self) -> Fraction:
        """Centre of frame 0: the mean of the sample numbers 0 ... field - 1."""
        return Fraction(self.field_samples - 1, 2)

    def n_frames(self, n_samples: int) -> int:
        """Frames of a waveform."""
        return (n_samples - self.field_samples) // self.hop_samples + 1
