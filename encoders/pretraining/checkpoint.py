"""Checkpoints: one safetensors file with the recipe inside.

Tensors are named by part (`encoder.`, `predictor.`, `teacher.`, `optimiser.`); the metadata holds
the recipe and the step as JSON. No random state is stored: crops and masks are functions of
(seed, step). An exported encoder is the same file with `encoder.` alone.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from probe_bench.encoders.pretraining.recipe import Recipe, from_json, to_json
from probe_bench.encoders.pretraining.tensor_file import Kind, read_tensors, write_tensors
from probe_bench.errors import CheckpointError, UserError

__all__ = ["Checkpoint", "encoder_tensors", "export_encoder", "fill", "is_ours", "read", "write"]

_KIND = Kind(noun="checkpoint", format="probe-bench-jepa-2", command="probe-bench pretrain")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A training state on disk.

    Attributes:
        recipe: What was trained.
        step: Steps done.
        seed: Of initialisation, crops and masks.
        corpora: Names of the training corpora.
        audio_sha256: Digest of the training audio: its samples where they are in memory, else names,
            sizes and lengths of its files.
        tensors: By part and name.
    """

    recipe: Recipe
    step: int
    seed: int
    corpora: Sequence[str]
    audio_sha256: str
    tensors: Mapping[str, Tensor]


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Write atomically: after a kill at any moment the old or the new file stands whole."""
    config = {
        "recipe": to_json(checkpoint.recipe),
        "step": checkpoint.step,
        "seed": checkpoint.seed,
        "corpora": list(checkpoint.corpora),
        "audio_sha256": checkpoint.audio_sha256,
    }
    about = {"format": _KIND.format, "system": checkpoint.recipe.system}
    config_text = json.dumps(config, sort_keys=True)
    write_tensors(checkpoint.tensors, path, about | {"config": config_text})


def read(path: Path) -> Checkpoint:
    """Read a checkpoint or an exported encoder.

    Raises:
        CheckpointError: If the file is missing, damaged or not one of ours.
    """
    tensors, about = read_tensors(path, _KIND)
    return _parse(path, about.get("config", ""), tensors)


def is_ours(path: Path) -> bool:
    """Say whether a file claims to be one of ours; what is not there or damaged is for `read`."""
    if not path.is_file():
        return True
    try:
        with safe_open(path, framework="pt") as file:
            stated: str = (file.metadata() or {}).get("format", "")
    except (SafetensorError, OSError):
        return path.suffix == ".safetensors"
    return stated.startswith("probe-bench")


def _parse(path: Path, config: str, tensors: Mapping[str, Tensor]) -> Checkpoint:
    try:
        fields = json.loads(config)
        fields = {name: from_json(field) for name, field in fields.items()}
        checkpoint = Checkpoint(tensors=tensors, **fields)
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise CheckpointError(
            f"{path}: its config cannot be read ({error!r}); expected the recipe of a bundled "
            "system; use the probe-bench version that wrote the file"
        ) from error
    if not isinstance(checkpoint.recipe, Recipe):
        raise CheckpointError(
            f"{path}: its config holds a {type(checkpoint.recipe).__name__}; expected a recipe; "
            "train again"
        )
    return checkpoint


def fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a module that expects exactly these names and shapes.

    Raises:
        CheckpointError: If a name is missing or unknown or a shape differs.
    """
    wanted = module.state_dict()
    missing, unknown = sorted(wanted.keys() - tensors), sorted(tensors.keys() - wanted.keys())
    if missing or unknown:
        raise CheckpointError(
            f"{path}: missing tensors {_some(missing)}, unknown tensors {_some(unknown)}; expected "
            f"{len(wanted)} tensors of this encoder; use a checkpoint of the same system and size"
        )
    for name, tensor in wanted.items():
        if tensors[name].shape != tensor.shape:
            raise CheckpointError(
                f"{path}: tensor {name} has shape {tuple(tensors[name].shape)}; expected "
                f"{tuple(tensor.shape)}; use a checkpoint of the same system and size"
            )
    module.load_state_dict(dict(tensors))


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def encoder_tensors(checkpoint: Checkpoint, which: str | None = None) -> dict[str, Tensor]:
    """Weights that inference uses, named as in the encoder.

    Args:
        checkpoint: As read.
        which: `student` or `teacher`; what the recipe exports if None.

    Raises:
        CheckpointError: If it does not hold the one that is asked for.
    """
    recipe = checkpoint.recipe
    tensors = _part(checkpoint.tensors, "encoder.")
    teacher = _part(checkpoint.tensors, "teacher.")
    if which and which != recipe.export and not teacher:
        raise CheckpointError(
            f"{recipe.system} {recipe.preset}: no {which} in this checkpoint; it holds the "
            f"{recipe.export} alone; leave out #{which}"
        )
    if (which or recipe.export) == "student":
        return tensors
    if recipe.teacher is not None and recipe.teacher.covers == "transformer":
        teacher = {f"transformer.{name}": tensor for name, tensor in teacher.items()}
    # An exported file holds the chosen weights as `encoder.` and no teacher.
    return tensors | teacher


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def export_encoder(checkpoint: Path, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write only what inference needs.

    Args:
        checkpoint: File that `pretrain` wrote.
        path: New file; it loads like any checkpoint.
        dtype: Of the stored weights; they are float32 again when loaded.
    """
    full = read(checkpoint)
    weights = {f"encoder.{n}": t.to(dtype) for n, t in encoder_tensors(full).items()}
    write(dataclasses.replace(full, tensors=weights), path)
