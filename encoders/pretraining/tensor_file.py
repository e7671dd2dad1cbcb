"""Safetensors files that are whole or not there."""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

__all__ = ["write_tensors"]


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
