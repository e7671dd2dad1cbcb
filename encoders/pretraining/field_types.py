"""Values from a file against the types of a dataclass's fields."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import repeat
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

__all__ = ["described", "fitted"]


def fitted(value: Any, hint: Any) -> Any:
    """Return a value as its type wants it: a whole number may stand for a real one.

    Args:
        value: Plain values, tuples and parts.
        hint: Annotation of the field.

    Raises:
        TypeError: If the value is of another type.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        for one in inner:
            with suppress(TypeError):
                return fitted(value, one)
    elif origin is Literal:
        if value in inner:
            return value
    elif origin in {tuple, Sequence} and isinstance(value, tuple):
        fixed = origin is tuple and inner[-1] is not Ellipsis
        return tuple(
            fitted(item, one)
            for item, one in zip(
                value, inner if fixed else repeat(inner[0], len(value)), strict=True
            )
        )
    elif hint is float and type(value) in {int, float}:
        return float(value)
    elif origin is None and isinstance(value, hint) and (hint is not int or type(value) is int):
        return value
    raise TypeError(f"{value!r} is not {described(hint)}")


def described(hint: Any) -> str:
    """Describe a type to who writes files."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return " or ".join(described(one) for one in inner)
    if origin is Literal:
        return " or ".join(repr(choice) for choice in inner)
    if origin in {tuple, Sequence}:
        every = origin is Sequence or inner[-1] is Ellipsis
        items = f"{described(inner[0])}, ..." if every else ", ".join(map(described, inner))
        return f"[{items}]"
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
    return "'none'" if hint is NoneType else names.get(hint, getattr(hint, "__name__", str(hint)))
