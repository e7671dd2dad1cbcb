"""Finite scalar quantisation (Mentzer et al., arXiv 2309.15505): every dimension rounds on its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.encoders.density_jepa.packing import ByteOrder, vocabularies

__all__ = ["FsqShape", "codes_of", "quantise", "straight_through"]


@dataclass(frozen=True, kw_only=True)
class FsqShape:
    """How a frame becomes tokens; the defaults are the paper's.

    Attributes:
        dims: Dimensions of a frame.
        levels: Levels of a dimension. Several numbers share the dimensions out in equal parts, in
            order: (8, 4) gives the first half 8 levels and the second half 4.
        temperature: Dimensions are squashed to temperature * tanh(x / temperature) first.
        group: Dimensions in one token.
        order: Which dimension of a group is the most significant digit of its token: the first
            (`big`, the paper) or the last (`little`, its code).
    """

    dims: int = 128
    levels: Sequence[int] = (4,)
    temperature: float = 1.0
    group: int = 7
    order: ByteOrder = "big"

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) < 2 or self.dims % len(self.levels):
            raise ValueError(
                f"{self.dims} dims, levels {tuple(self.levels)}: expected levels of 2 or more and a "
                "number of dims that they divide"
            )
        if max(self.vocabularies) > 2**62:
            raise ValueError(
                f"groups of {self.group} dims make tokens of {max(self.vocabularies)} values; "
                "expected at most 2^62; take smaller groups"
            )

    @property
    def radices(self) -> tuple[int, ...]:
        """Levels of every dimension."""
        share = self.dims // len(self.levels)
        return tuple(level for level in self.levels for _ in range(share))

    @property
    def vocabularies(self) -> tuple[int, ...]:
        """Number of values of every token of a frame."""
        return vocabularies(self.radices, self.group)

    @property
    def tokens_per_frame(self) -> int:
        """Tokens in a frame."""
        return len(self.vocabularies)

    def token_rate_hz(self, frame_rate_hz: Fraction) -> Fraction:
        """Tokens per second."""
        return frame_rate_hz * self.tokens_per_frame

    def information_bps(self, frame_rate_hz: Fraction) -> float:
        """Bits per second that tell all frames apart: log2 of the levels, summed over dimensions."""
        return float(frame_rate_hz) * sum(math.log2(radix) for radix in self.radices)

    def stored_bps(self, frame_rate_hz: Fraction) -> float:
        """Bits per second if every token takes the whole bits of the largest vocabulary."""
        bits = (max(self.vocabularies) - 1).bit_length()
        return float(self.token_rate_hz(frame_rate_hz) * bits)


def quantise(
    x: Float[Tensor, "batch frames dims"], shape: FsqShape
) -> Int[Tensor, "batch frames dims"]:
    """Return every dimension's level, 0 to L - 1.

    The codes of L levels are the centres of L equal parts of [-1, 1]; a value goes to the nearest
    one, the lower where two are as near.
    """
    levels = torch.tensor(shape.radices, device=x.device)
    squashed = torch.tanh(x.float() / shape.temperature) * shape.temperature
    # Part i is ((2i - L) / L, (2i + 2 - L) / L]: i = ceil((x + 1) L / 2) - 1.
    index = torch.ceil((squashed + 1) * levels / 2).long() - 1
    return torch.minimum(index.clamp_min(0), levels - 1)


def codes_of(
    index: Int[Tensor, "batch frames dims"], shape: FsqShape
) -> Float[Tensor, "batch frames dims"]:
    """Return the code of every level: (2i + 1) / L - 1."""
    levels = torch.tensor(shape.radices, device=index.device)
    return (2 * index + 1) / levels - 1


def straight_through(
    x: Float[Tensor, "batch frames dims"], shape: FsqShape
) -> Float[Tensor, "batch frames dims"]:
    """Return the codes nearest to x, with the gradient of x itself (as the published code does)."""
    codes = codes_of(quantise(x.detach(), shape), shape)
    # The bracket's value is codes - x and its gradient 0.
    return x + (codes - x).detach()
