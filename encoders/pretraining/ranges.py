"""Ranges of a part's numbers, said in its annotations and checked when it is made.

    @dataclass(frozen=True, kw_only=True)
    class Augment(Ranged):
        clean_share: Share = 0.0

A value that means nothing is refused where it is written, not found in a training that learnt nothing.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

__all__ = [
    "Count",
    "NotNegative",
    "Odd",
    "Positive",
    "PositiveShare",
    "Range",
    "Ranged",
    "Rising",
    "Share",
    "Whole",
    "refuse",
]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`; NaN and infinity are in none.

    Attributes:
        low: Least.
        high: Largest.
        above: Whether `low` itself is out.
    """

    low: int | float
    high: int | float = math.inf
    above: bool = False

    def holds(self, value: Any) -> bool:
        """Say whether a number is in it."""
        fits = self.low < value if self.above else self.low <= value
        return fits and value <= self.high and math.isfinite(value)

    def __str__(self) -> str:
        least = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        return least if self.high == math.inf else f"{least} and at most {self.high:g}"


@dataclass(frozen=True, slots=True)
class Rising:
    """Two numbers, the first not above the second."""

    def holds(self, value: tuple[float, float]) -> bool:
        """Say whether they are in order."""
        return value[0] <= value[1]

    def __str__(self) -> str:
        return "the smaller number first"


@dataclass(frozen=True, slots=True)
class Odd:
    """Odd whole numbers."""

    def holds(self, value: int) -> bool:
        """Say whether a number is odd."""
        return value % 2 == 1

    def __str__(self) -> str:
        return "an odd number"


Count = Annotated[int, Range(1)]
Whole = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, above=True)]


class Ranged:
    """Base of parts whose annotations say what their numbers may be."""

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():  # type: ignore[arg-type]
            refuse(getattr(self, name), hint, name)


@functools.cache
def _hints(part: type) -> dict[str, Any]:
    return get_type_hints(part, include_extras=True)


def refuse(value: Any, hint: Any, name: str) -> None:
    """Refuse a value outside of what an annotation says.

    Raises:
        ValueError: With name, value and range.
    """
    if value is None:
        return
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        refuse(value, inner[0], name)
        for limits in inner[1:]:
            if not limits.holds(value):
                raise ValueError(f"{name} is {value!r}; expected {limits}")
    elif origin in {tuple, Sequence}:
        fixed = origin is tuple and inner[-1] is not Ellipsis
        for item, one in zip(value, inner if fixed else repeat(inner[0], len(value)), strict=True):
            refuse(item, one, name)
    elif origin in {Union, UnionType}:  # a value or None
        for one in inner:
            refuse(value, one, name)
