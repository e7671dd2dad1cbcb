"""Products of long tables with themselves, which cost most of what is done once a layer."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["gram"]

_ROWS = 4096  # converted at a time: bounds memory
_BLOCK = 128


def gram(x: Float[Tensor, "rows dim"]) -> Float[Tensor, "dim dim"]:
    """Return `x' x` in float64; of the symmetric product only one half is computed."""
    dim = x.shape[1]
    total = x.new_zeros(dim, dim, dtype=torch.float64)
    for start in range(0, len(x), _ROWS):
        rows = x[start : start + _ROWS].double()
        for i in range(0, dim, _BLOCK):
            total[i : i + _BLOCK, i:] += rows[:, i : i + _BLOCK].T @ rows[:, i:]
    upper = total.triu()
    return upper + upper.triu(1).T
