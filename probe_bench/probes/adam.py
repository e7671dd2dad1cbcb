"""Adam for weights that are stacked problem by problem.

Not torch.optim: its constructor imports the compiler, seconds that outweigh the training, and it knows
neither a rate for each row of a tensor nor rows that leave.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Adam"]


class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1) of one tensor.

    Args:
        like: The weights; only their shape, type and device are used.
    """

    def __init__(self, like: Float[Tensor, "..."]) -> None:
        self._first, self._second = torch.zeros_like(like), torch.zeros_like(like)
        self._done = 0

    def step(
        self, gradient: Float[Tensor, "..."], lr: float | Float[Tensor, "..."]
    ) -> Float[Tensor, "..."]:
        """Take in a gradient and return the change of the weights.

        Args:
            gradient: Of the weights.
            lr: Learning rate, or one for each weight by broadcasting.
        """
        self._done += 1
        self._first.lerp_(gradient, 0.1)
        self._second.lerp_(gradient.square(), 0.001)
        mean = self._first / (1 - 0.9**self._done)
        power = self._second / (1 - 0.999**self._done)
        return -lr * mean / (power.sqrt() + 1e-8)

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with some rows of the first axis."""
        self._first, self._second = self._first[rows], self._second[rows]
