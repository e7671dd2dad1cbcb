"""Whether a checkpoint in the way is of the training that is asked for."""

import dataclasses
from pathlib import Path
from typing import TypeVar

from probe_bench.errors import CheckpointError

__all__ = ["refuse_another"]

_OF_THE_STEP = ("step", "tensors")
Training = TypeVar("Training")


def refuse_another(found: Training, wanted: Training, path: Path) -> None:
    """Refuse a training that differs in more than its progress.

    Args:
        found: Checkpoint, a dataclass, as read.
        wanted: The same kind, of the training that is asked for.
        path: Of the file.

    Raises:
        CheckpointError: Names the first field that differs, down to a part's own.
    """
    for field in dataclasses.fields(found):  # type: ignore[arg-type]
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        if field.name not in _OF_THE_STEP and one != other:
            raise CheckpointError(
                f"{path}: holds a training with another {field.name} ({_apart(one, other)}); give "
                "another --out, or the same options as before"
            )


def _apart(found: object, wanted: object, field: str = "") -> str:
    """Say where two values first differ, going down into recipes and their parts."""
    if dataclasses.is_dataclass(found) and type(found) is type(wanted):
        for each in dataclasses.fields(found):
            one, other = getattr(found, each.name), getattr(wanted, each.name)
            if one != other:
                return _apart(one, other, f"{field}.{each.name}".lstrip("."))
    return f"{field} {_short(found)}; now {_short(wanted)}".strip()


def _short(value: object) -> str:
    if dataclasses.is_dataclass(value):
        return type(value).__name__
    text = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
