"""Frames of many clips as one flat table, so that no clip is padded and no loop runs over clips."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.modulation.products import gram

__all__ = ["Tokens", "flatten", "without_position_mean"]

_MIN_CLIPS = 10  # a mean over fewer clips would take more than a tenth of each clip with it
_DISTINCT = 0.5  # codes repeat: fewer distinct tokens than this share of all
_DIGITS = 1e6  # to which tokens are told apart


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """All frames of all clips, one after the other.

    Attributes:
        values: Frames, in the order of the clips.
        clip: Clip of every frame.
        position: Number of every frame within its clip.
        lengths: Frames of every clip.
        are_codes: Most frames are equal to another one, as the codes of a quantiser are.
    """

    values: Float[Tensor, "frames dim"]
    clip: Int[Tensor, " frames"]
    position: Int[Tensor, " frames"]
    lengths: Int[Tensor, " clips"]
    are_codes: bool

    @property
    def first(self) -> Int[Tensor, " clips"]:
        """Row of the first frame of every clip."""
        return self.lengths.cumsum(0) - self.lengths

    @cached_property
    def principal(self) -> tuple[Float[Tensor, " dim"], Float[Tensor, "dim dim"]]:
        """Variances and principal axes (columns), the smallest first, in float64: found once."""
        centred = self.values - self.values.mean(0)
        variance, axes = torch.linalg.eigh(gram(centred) / len(centred))
        return variance, axes

    @property
    def is_constant(self) -> bool:
        """Whether no dimension ever changes."""
        return bool((self.values.amax(0) == self.values.amin(0)).all())


def flatten(clips: Sequence[Float[Tensor, "_ dim"]]) -> Tokens:
    """Lay the frames of several clips end to end."""
    values = torch.cat(list(clips)).float()
    lengths = torch.tensor([len(clip) for clip in clips], device=values.device)
    clip = torch.repeat_interleave(torch.arange(len(clips), device=values.device), lengths)
    first = lengths.cumsum(0) - lengths
    return Tokens(
        values=values,
        clip=clip,
        position=torch.arange(len(values), device=values.device) - first[clip],
        lengths=lengths,
        are_codes=_distinct(values) < _DISTINCT * len(values),
    )


def _distinct(values: Float[Tensor, "frames dim"]) -> int:
    """Count frames that differ, by one random projection of them."""
    direction = torch.randn(values.shape[1], generator=torch.Generator().manual_seed(0))
    along = ((values - values.mean(0)) @ direction.to(values)).double()
    return len(torch.unique((along / along.std().clamp(min=1e-300) * _DIGITS).round()))


def without_position_mean(tokens: Tokens) -> Tokens:
    """Subtract the mean over clips at every position.

    What every clip has at the same place is a position embedding or a common onset, not a response
    to the sound. Positions that fewer than ten clips reach have the mean over all frames subtracted
    instead.
    """
    x, position = tokens.values, tokens.position
    clips = torch.split(x, tokens.lengths.tolist())
    total = x.new_zeros(int(tokens.lengths.max()), x.shape[1], dtype=torch.float64)
    for clip in clips:
        total[: len(clip)] += clip
    count = torch.bincount(position, minlength=len(total))[:, None]
    mean = torch.where(count >= _MIN_CLIPS, total / count, total.sum(0) / len(x))
    cleaned = [(clip - mean[: len(clip)]).float() for clip in clips]
    return replace(tokens, values=torch.cat(cleaned))
