"""Safetensors files that are whole or not there, and say which of ours they are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from probe_bench.errors import CheckpointError

__all__ = ["Kind", "read_tensors", "write_tensors"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of file.

    Attributes:
        noun: What it is called.
        format: Stands in its metadata.
        command: Writes it.
    """

    noun: str
    format: str
    command: str


def read_tensors(path: Path, kind: Kind) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file by name, and its metadata.

    Raises:
        CheckpointError: If the file is missing, damaged or of another kind.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such {kind.noun}; expected a file that `{kind.command}` wrote"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: damaged or not safetensors ({error}); expected a {kind.noun} of "
            f"`{kind.command}`; copy it again or train again"
        ) from error
    if metadata.get("format") != kind.format:
        raise CheckpointError(
            f"{path}: format {metadata.get('format')!r}; expected {kind.format!r}; "
            f"use a {kind.noun} that this version's `{kind.command}` wrote"
        )
    return tensors, metadata


def write_tensors(tensors: Mapping[str, Tensor], path: Path, about: Mapping[str, str]) -> None:
    """Write atomically: after a kill at any moment the old or the new file stands whole.

    Args:
        tensors: By name, anywhere.
        path: File; whoever may read its folder may read it, which safetensors alone would not allow.
        about: Metadata.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(held, temporary, dict(about))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(path.parent.stat().st_mode & 0o666)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
