"""What Transformer and Conformer have in common: a stack of blocks that returns every output."""

from abc import ABC, abstractmethod

from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["BlockStack"]


class BlockStack(nn.Module, ABC):
    """Stack of blocks.

    Attributes:
        norm: After the last block; the caller applies it.
    """

    norm: nn.Module

    @abstractmethod
    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None = None,
    ) -> list[Float[Tensor, "batch tokens dim"]]:
        """Return the output of every block; `valid` is False on padding."""
