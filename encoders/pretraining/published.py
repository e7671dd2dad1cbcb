"""Checkpoints of others: read the file, name its tensors as our encoder does, list what is odd."""

import dataclasses
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from probe_bench.encoders.pretraining.blocks.transformer import sincos_positions
from probe_bench.encoders.pretraining.masking.masks import Grid
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.errors import CheckpointError

__all__ = [
    "Part",
    "Place",
    "adopt",
    "block_count",
    "block_places",
    "choose",
    "describe",
    "head_count",
    "odd_positions",
    "other",
    "read_tensors",
    "shape_of",
]

Part = Literal["student", "teacher"]

# Added by torch.compile, by data parallelism and by wrappers that hold the network as `model`.
_WRAPPERS = ("_orig_mod.", "module.", "model.")
_HEAD_DIM = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a tensor of the file goes.

    Attributes:
        name: In `Backbone.state_dict()`.
        shape: In the file.
    """

    name: str
    shape: tuple[int, ...]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a Lightning checkpoint (`.ckpt`), a torch file or safetensors; no code of it runs.

    Returns:
        Float32 tensors by their names without the prefixes that wrappers add.

    Raises:
        CheckpointError: If the file is missing, damaged, holds no tensors, or would run code.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; expected a published .ckpt, .bin or .safetensors; "
            "download it and give its path"
        )
    safe = path.suffix == ".safetensors"
    try:
        found: Any = load_file(path) if safe else _load_pickled(path)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: not a torch file, or one that cannot be read without running its code; "
            "expected a published .ckpt, .bin or .safetensors; download it again, or save its "
            "state_dict alone where you trust it"
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError) as error:
        raise CheckpointError(
            f"{path}: damaged or not a torch file ({_first_line(error)}); expected a published "
            ".ckpt, .bin or .safetensors; download it again"
        ) from error
    found = found.get("state_dict", found) if isinstance(found, Mapping) else {}
    # A copy: the file is only mapped into memory, and may be written again while the copy lives.
    tensors = {
        _bare(n): t.to(torch.float32, copy=True) for n, t in found.items() if isinstance(t, Tensor)
    }
    if not tensors:
        raise CheckpointError(
            f"{path}: no tensors found; expected a state_dict; give the model's checkpoint file"
        )
    return tensors


class _Inert:
    """Stands for every foreign class or function named in a file; does nothing."""

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


def _load_pickled(path: Path) -> object:
    """Unpickle tensors; Lightning also stores its authors' own classes, which stay inert."""
    with path.open("rb") as file:
        archive = file.read(2) == b"PK"
    foreign = get_unsafe_globals_in_checkpoint(path) if archive else []
    with safe_globals([(cast("Any", _Inert), name) for name in foreign]):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:80]


def _bare(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper).replace(f".{wrapper}", ".")
    return name


def other(part: Part) -> Part:
    """The part that was not chosen."""
    return "student" if part == "teacher" else "teacher"


def choose(
    tensors: Mapping[str, Tensor], prefixes: Mapping[Part, str], which: str, path: Path
) -> Part:
    """Tell whose weights are meant.

    Args:
        tensors: Of the file.
        prefixes: Of either encoder's names; the first that the file holds is the default.
        which: `student`, `teacher`, or empty for the default.
        path: For the message.

    Raises:
        CheckpointError: If the file does not hold the wanted encoder.
    """
    held = [part for part, prefix in prefixes.items() if any(n.startswith(prefix) for n in tensors)]
    for part in held:
        if which in {part, ""}:
            return part
    there = " and ".join(f"#{part}" for part in held) or f"names like {_some(tensors)}"
    wanted = prefixes[cast("Part", which)] if which in prefixes else " or ".join(prefixes.values())
    raise CheckpointError(
        f"{path}: no tensors of {wanted}* for #{which or 'student'}, found {there}; "
        "choose what the file holds or give the file of this system"
    )


def block_count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Count the blocks named `prefix` and a number."""
    found = {m[1] for name in tensors if (m := re.match(rf"{re.escape(prefix)}(\d+)\.", name))}
    return len(found)


def shape_of(tensors: Mapping[str, Tensor], name: str, path: Path) -> tuple[int, ...]:
    """Return the shape of a tensor that tells the geometry.

    Raises:
        CheckpointError: If the file has no such tensor.
    """
    if name not in tensors:
        raise CheckpointError(
            f"{path}: no tensor {name}, found names like {_some(tensors)}; expected a published "
            "checkpoint of this system; give the authors' file"
        )
    return tuple(tensors[name].shape)


def head_count(dim: int, path: Path) -> int:
    """Count attention heads; shapes do not tell them, but the published ones are all 64 wide.

    Raises:
        CheckpointError: If the width is no multiple of 64.
    """
    if dim % _HEAD_DIM:
        raise CheckpointError(
            f"{path}: width {dim}; expected a multiple of {_HEAD_DIM}, the width of a head; "
            "give a published checkpoint"
        )
    return dim // _HEAD_DIM


def block_places(
    prefix: str, depth: int, names: Mapping[str, str], dim: int, hidden: int
) -> dict[str, Place]:
    """Say where the tensors of all blocks go.

    Args:
        prefix: Of the blocks' names in the file, before the number.
        depth: Number of blocks.
        names: What stands before `weight` and `bias` in the file, by the name of our layer.
        dim: Width of the residual stream.
        hidden: Width inside the feed-forward layer.
    """
    weights = {
        "norm1": (dim,),
        "qkv": (3 * dim, dim),
        "out": (dim, dim),
        "norm2": (dim,),
        "fc1": (hidden, dim),
        "fc2": (dim, hidden),
    }
    return {
        f"{prefix}{block}.{names[layer]}{kind}": Place(
            name=f"transformer.blocks.{block}.{layer}.{kind}",
            shape=shape if kind == "weight" else shape[:1],
        )
        for block in range(depth)
        for layer, shape in weights.items()
        for kind in ("weight", "bias")
    }


def adopt(
    tensors: Mapping[str, Tensor], places: Mapping[str, Place], known: Iterable[str], path: Path
) -> dict[str, Tensor]:
    """Give tensors our names.

    Args:
        tensors: Of the file.
        places: Every tensor that the encoder needs, by its name in the file.
        known: Prefixes of tensors that the file may hold beside them: the other encoder, the
            predictor.
        path: For the message.

    Raises:
        CheckpointError: If a tensor is missing, unknown or of another shape; lists them all.
    """
    prefixes = tuple(known)
    unknown = [n for n in tensors if n not in places and not n.startswith(prefixes)]
    missing = [n for n in places if n not in tensors]
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} (expected {place.shape})"
        for name, place in places.items()
        if name in tensors and tuple(tensors[name].shape) != place.shape
    ]
    problems = {"missing": missing, "unknown": unknown, "of wrong shape": misshapen}
    found = [f"{kind}: {', '.join(names)}" for kind, names in problems.items() if names]
    if found:
        raise CheckpointError(
            f"{path}: tensors {'; '.join(found)}; expected the {len(places)} tensors of the "
            "published encoder; give the authors' file, or rename its tensors"
        )
    return {place.name: tensors[name] for name, place in places.items()}


def describe(preset: Recipe, part: Part, depth: int, **changes: Any) -> Recipe:
    """Return a recipe for the published architecture; how it was trained is the preset's."""
    targets = dataclasses.replace(preset.targets, top_k=min(preset.targets.top_k, depth))
    return dataclasses.replace(preset, preset="published", targets=targets, export=part, **changes)


def odd_positions(table: Tensor, grid: Grid) -> dict[str, Tensor]:
    """Return the file's position table as `positions` if it is not the one that we compute."""
    ours = sincos_positions(grid, table.shape[1])
    return {} if torch.allclose(table, ours, rtol=0, atol=1e-5) else {"positions": table}


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (" ..." if len(listed) > 3 else "")
