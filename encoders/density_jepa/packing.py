"""Several small digits in one token: mixed-radix numbers, exactly invertible."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Int
from torch import Tensor

__all__ = ["ByteOrder", "pack", "unpack", "vocabularies"]

ByteOrder = Literal["big", "little"]


def vocabularies(radices: Sequence[int], group: int) -> tuple[int, ...]:
    """Return the number of values of every token: the product of its digits' radices."""
    return tuple(math.prod(radices[i : i + group]) for i in range(0, len(radices), group))


def pack(
    digits: Int[Tensor, "*batch dims"], radices: Sequence[int], *, group: int, order: ByteOrder
) -> Int[Tensor, "*batch tokens"]:
    """Write every `group` digits as one number; the last token may hold fewer.

    Args:
        digits: Digit d is in [0, radices[d]).
        radices: Values that a digit can have.
        group: Digits in a token.
        order: Whether a group's first digit is the most (`big`) or least (`little`) significant.
    """
    padded = F.pad(digits, (0, -len(radices) % group))
    grouped = padded.reshape(*digits.shape[:-1], -1, group)
    return (grouped * _weights(radices, group, order).to(digits.device)).sum(-1)


def unpack(
    tokens: Int[Tensor, "*batch tokens"], radices: Sequence[int], *, group: int, order: ByteOrder
) -> Int[Tensor, "*batch dims"]:
    """Read the digits back; the inverse of `pack` with the same arguments."""
    weights = _weights(radices, group, order).to(tokens.device)
    bases = _grouped(radices, group).to(tokens.device)
    digits = tokens[..., None] // weights % bases
    return digits.flatten(-2)[..., : len(radices)]


def _grouped(radices: Sequence[int], group: int) -> Tensor:
    """Radices as tokens x digits; a digit that pads the last group can only be 0, so its radix is 1."""
    padded = [*radices, *[1] * (-len(radices) % group)]
    return torch.tensor(padded).view(-1, group)


def _weights(radices: Sequence[int], group: int, order: ByteOrder) -> Tensor:
    """Value of a 1 in each digit: the product of the radices of all less significant digits."""
    grouped = _grouped(radices, group)
    rising = grouped if order == "little" else grouped.flip(1)
    weights = F.pad(rising.cumprod(1)[:, :-1], (1, 0), value=1)
    return weights if order == "little" else weights.flip(1)
