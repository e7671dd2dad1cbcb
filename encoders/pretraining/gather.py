"""Statistics over all processes of a data-parallel training, with exact gradients.

Every process holds its share of the batch and computes the same global value L. DDP averages the
processes' parameter gradients, so what must hold is

    mean over ranks r of dL_r/dtheta = dL/dtheta.

The backward of an all-reduced sum is the all-reduced sum of the ranks' gradients: with W equal losses
each rank's activations receive W dL/dx, and DDP's average takes the W away again. So sums and
gathers below are the plain collectives with autograd, and nothing else is rescaled. Without a
process group all of it is the identity.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor
from torch import distributed as dist

__all__ = [
    "all_rows",
    "all_sum",
    "n_rows",
    "of_every_process",
    "rank",
    "shared_generator",
    "world_size",
]


def world_size() -> int:
    """Number of processes; 1 outside of a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process; 0 outside of a process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def shared_generator(device: torch.device) -> torch.Generator:
    """Make a generator, seeded from torch's global one, that draws the same on every process.

    The global generators part as soon as processes draw for their own rows (dropped keys, dropout).

    Args:
        device: Where it draws.
    """
    seed = torch.randint(2**62, ())
    if world_size() > 1:
        dist.broadcast(seed, 0)
    return torch.Generator(device).manual_seed(int(seed))


class _AllSum(torch.autograd.Function):
    """All-reduced sum whose gradient is all-reduced too."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def all_sum(x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """Sum over processes; gradients flow to every process."""
    return _AllSum.apply(x) if world_size() > 1 else x  # type: ignore[no-untyped-call]


def all_rows(x: Float[Tensor, "rows dim"]) -> Float[Tensor, "all_rows dim"]:
    """Rows of every process, one process after the other."""
    if world_size() == 1:
        return x
    counts = of_every_process(len(x))
    before, after = sum(counts[: rank()]), sum(counts[rank() + 1 :])
    # Each process brings its rows between zeros: the sum is the concatenation.
    return all_sum(F.pad(x, (0, 0, before, after)))


def n_rows(x: Float[Tensor, "rows dim"]) -> int:
    """Number of rows on all processes together."""
    return sum(of_every_process(len(x)))


def of_every_process(number: int) -> list[int]:
    """Collect a whole number from every process, in their order."""
    numbers = torch.zeros(world_size(), dtype=torch.long)
    numbers[rank()] = number
    if world_size() > 1:
        dist.all_reduce(numbers)
    return numbers.tolist()
