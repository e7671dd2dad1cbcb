"""Masks: which tokens the context encoder sees and which ones are predicted.

A sampler (see `samplers`) draws over a grid of `frames x bands` tokens in time-major order (token `t * bands + f`),
so waveform systems (one band) and patch systems share one interface. Nominal spans mislead: overlap
lengthens them, therefore `mask_statistics` measures what was really hidden.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = [
    "Grid",
    "MaskSampler",
    "Masks",
    "Selection",
    "chosen_rows",
    "gather_tokens",
    "mask_of",
    "select",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Token grid of one crop; `bands` is 1 where tokens have no frequency axis."""

    frames: int
    bands: int = 1

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return self.frames * self.bands


@dataclass(frozen=True, kw_only=True, slots=True)
class Masks:
    """One batch of masks; a sampler may draw several rows a clip: all clips, then all again.

    Attributes:
        context: True where the context encoder sees the token.
        targets: True where a group's token is predicted; groups are decoded separately.
    """

    context: Bool[Tensor, "rows tokens"]
    targets: Bool[Tensor, "rows groups tokens"]


@runtime_checkable
class MaskSampler(Protocol):
    """Configuration of a sampler; the same generator state gives the same masks."""

    def sample(
        self, batch: int, grid: Grid, rng: np.random.Generator, *, progress: float = 0.0
    ) -> Masks:
        """Draw the masks of one batch; `progress` is the part of the training that is done."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Chosen tokens of every row, padded to the longest row.

    Attributes:
        index: Token numbers; padding repeats tokens that were not chosen.
        valid: False on padding; None where every row is full, which spares attention its mask.
    """

    index: Int[Tensor, "*rows chosen"]
    valid: Bool[Tensor, "*rows chosen"] | None

    def to(self, device: torch.device) -> "Selection":
        """Move to a device."""
        valid = None if self.valid is None else self.valid.to(device, non_blocking=True)
        return Selection(index=self.index.to(device, non_blocking=True), valid=valid)


def select(mask: Bool[Tensor, "*rows tokens"]) -> Selection:
    """List the True tokens of every row in order, padded to the longest row."""
    counts = mask.sum(-1)
    width = int(counts.max())
    # A stable sort on "not chosen" brings the chosen tokens to the front without shuffling them.
    index = torch.argsort(~mask, dim=-1, stable=True)[..., :width]
    full = bool((counts == width).all())
    valid = None if full else torch.arange(width) < counts[..., None]
    return Selection(index=index, valid=valid)


def mask_of(selection: Selection, tokens: int) -> Bool[Tensor, "*rows tokens"]:
    """Turn a selection back into the mask that it was made from."""
    index, valid = selection.index, selection.valid
    chosen = torch.ones_like(index, dtype=torch.bool) if valid is None else valid
    mask = torch.zeros(*index.shape[:-1], tokens, dtype=torch.bool, device=index.device)
    return mask.scatter(-1, index, chosen)


def gather_tokens(
    tokens: Float[Tensor, "rows tokens dim"], index: Int[Tensor, " rows *chosen"]
) -> Float[Tensor, "rows *chosen dim"]:
    """Pick tokens of every row."""
    flat = index.flatten(1)
    picked = tokens.gather(1, flat[..., None].expand(-1, -1, tokens.shape[-1]))
    return picked.reshape(*index.shape, tokens.shape[-1])


def chosen_rows(
    values: Float[Tensor, "*rows chosen dim"], selection: Selection
) -> Float[Tensor, "all dim"]:
    """Lay the values of a selection's tokens out as rows, padding left out."""
    return values.flatten(0, -2) if selection.valid is None else values[selection.valid]
