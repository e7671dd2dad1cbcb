"""What Transformer and Conformer have in common: a stack of blocks that returns every output."""

from abc import ABC, abstractmethod

from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["BlockStack"]


class BlockStack(nn.Module, ABC):
    """Stack of blocks.

    Attributes:
        blocks: In their order.
        norm: After the last block; the caller applies it.
    """

    blocks: nn.ModuleList
    norm: nn.Module

    @abstractmethod
    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None = None,
    ) -> list[Float[Tensor, "batch tokens dim"]]:
        """Return the output of every block; `valid` is False on padding."""

    def last(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Return the last block's output; what stands on padding means nothing."""
        return self(tokens, valid)[-1]  # type: ignore[no-any-return]
