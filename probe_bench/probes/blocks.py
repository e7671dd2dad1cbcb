"""Features as blocks of rows that can be read again and again, wherever they live."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Block", "Blocks", "Held", "Joined", "as_blocks"]

Block = tuple[Int[Tensor, " block"], Float[Tensor, "block dim"]]
"""Row numbers (on the CPU) and their features."""

_ROWS = 4096


@runtime_checkable
class Blocks(Protocol):
    """A matrix of features that nobody has to hold: every row comes once a reading, in any order.

    Attributes:
        shape: Rows and dimensions.
        device: Where the blocks arrive.
    """

    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102

    @property
    def device(self) -> torch.device: ...  # noqa: D102

    def __iter__(self) -> Iterator[Block]: ...


@dataclass(frozen=True, kw_only=True)
class Held:
    """The rows of a tensor."""

    x: Float[Tensor, "rows dim"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions."""
        rows, dim = self.x.shape
        return rows, dim

    @property
    def device(self) -> torch.device:
        """Where the tensor is."""
        return self.x.device

    def __iter__(self) -> Iterator[Block]:
        places = torch.arange(len(self.x))
        yield from zip(torch.split(places, _ROWS), torch.split(self.x, _ROWS), strict=True)


@dataclass(frozen=True, kw_only=True)
class Joined:
    """The rows of several matrices of one width, numbered one after the other."""

    parts: Sequence[Blocks]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions."""
        return sum(part.shape[0] for part in self.parts), self.parts[0].shape[1]

    @property
    def device(self) -> torch.device:
        """Where the blocks arrive."""
        return self.parts[0].device

    def __iter__(self) -> Iterator[Block]:
        first = 0
        for part in self.parts:
            yield from ((first + places, x) for places, x in part)
            first += part.shape[0]


def as_blocks(x: Float[Tensor, "_ _"] | Blocks) -> Blocks:
    """Return features as blocks, a tensor as those of its rows."""
    return Held(x=x) if isinstance(x, Tensor) else x
