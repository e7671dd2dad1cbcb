"""Frames of many clips as one flat table, so that no clip is padded and no loop runs over clips."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Tokens", "flatten", "without_position_mean"]

_MIN_CLIPS = 10  # a mean over fewer clips would take more than a tenth of each clip with it


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """All frames of all clips, one after the other.

    Attributes:
        values: Frames, in the order of the clips.
        clip: Clip of every frame.
        position: Number of every frame within its clip.
        lengths: Frames of every clip.
    """

    values: Float[Tensor, "frames dim"]
    clip: Int[Tensor, " frames"]
    position: Int[Tensor, " frames"]
    lengths: Int[Tensor, " clips"]

    @property
    def first(self) -> Int[Tensor, " clips"]:
        """Row of the first frame of every clip."""
        return self.lengths.cumsum(0) - self.lengths

    @property
    def is_constant(self) -> bool:
        """Whether no dimension ever changes."""
        return bool((self.values.amax(0) == self.values.amin(0)).all())


def flatten(clips: Sequence[Float[Tensor, "_ dim"]]) -> Tokens:
    """Lay the frames of several clips end to end."""
    values = torch.cat(list(clips)).float()
    lengths = torch.tensor([len(clip) for clip in clips], device=values.device)
    clip = torch.repeat_interleave(torch.arange(len(clips), device=values.device), lengths)
    tokens = Tokens(values=values, clip=clip, position=torch.zeros_like(clip), lengths=lengths)
    position = torch.arange(len(values), device=values.device) - tokens.first[clip]
    return replace(tokens, position=position)


def without_position_mean(tokens: Tokens) -> Tokens:
    """Subtract the mean over clips at every position.

    What every clip has at the same place is a position embedding or a common onset, not a response
    to the sound. Positions that fewer than ten clips reach have the mean over all frames subtracted
    instead.
    """
    x, position = tokens.values, tokens.position
    shape = (int(tokens.lengths.max()), x.shape[1])
    total = x.new_zeros(shape, dtype=torch.float64).index_add_(0, position, x.double())
    count = torch.bincount(position, minlength=shape[0])[:, None]
    mean = torch.where(count >= _MIN_CLIPS, total / count, total.sum(0) / len(x))
    return replace(tokens, values=(x - mean[position]).float())
