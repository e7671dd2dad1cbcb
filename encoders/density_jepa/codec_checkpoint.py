"""Codec checkpoints: one safetensors file with both recipes inside.

Tensors are named by part (`codec.`, `discriminators.`, `optimiser.`); a tokenizer needs `codec.`
alone.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from probe_bench.encoders.density_jepa.codec import CodecRecipe
from probe_bench.encoders.pretraining import checkpoint as encoders
from probe_bench.encoders.pretraining.recipe import Recipe, from_json, to_json
from probe_bench.encoders.pretraining.tensor_file import Kind, read_tensors, write_tensors
from probe_bench.errors import CheckpointError, UserError

__all__ = ["CodecCheckpoint", "export_codec", "export_encoder", "part", "read", "write"]

_KIND = Kind(noun="codec", format="probe-bench-codec-1", command="probe-bench tokenizer train")


@dataclass(frozen=True, kw_only=True)
class CodecCheckpoint:
    """A second stage on disk.

    Attributes:
        encoder: Recipe of the first stage.
        recipe: Of the second.
        encoder_sha256: Digest of the encoder's weights before the second stage.
        step: Steps done.
        seed: Of initialisation and crops.
        corpora: Names of the training corpora.
        audio_sha256: Digest of the training audio.
        tensors: By part and name.
    """

    encoder: Recipe
    recipe: CodecRecipe
    encoder_sha256: str
    step: int
    seed: int
    corpora: Sequence[str]
    audio_sha256: str
    tensors: Mapping[str, Tensor]


def write(checkpoint: CodecCheckpoint, path: Path) -> None:
    """Write atomically: after a kill at any moment the old or the new file stands whole."""
    fields = dataclasses.fields(checkpoint)
    config = {f.name: to_json(getattr(checkpoint, f.name)) for f in fields if f.name != "tensors"}
    about = {"format": _KIND.format, "config": json.dumps(config, sort_keys=True)}
    write_tensors(checkpoint.tensors, path, about)


def read(path: Path) -> CodecCheckpoint:
    """Read a codec.

    Raises:
        CheckpointError: If the file is missing, damaged or no codec.
    """
    tensors, about = read_tensors(path, _KIND)
    return _parse(path, about.get("config", ""), tensors)


def _parse(path: Path, config: str, tensors: Mapping[str, Tensor]) -> CodecCheckpoint:
    try:
        fields = {name: from_json(field) for name, field in json.loads(config).items()}
        return CodecCheckpoint(tensors=tensors, **fields)
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise CheckpointError(
            f"{path}: its config cannot be read ({error!r}); expected the recipes of a codec; use "
            "the probe-bench version that wrote the file"
        ) from error


def part(checkpoint: CodecCheckpoint, name: str) -> dict[str, Tensor]:
    """Return one part's tensors by their names within it."""
    prefix = f"{name}."
    tensors = checkpoint.tensors.items()
    return {n.removeprefix(prefix): t for n, t in tensors if n.startswith(prefix)}


def export_codec(checkpoint: Path, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write only what a tokenizer needs, its weights as `dtype`."""
    full = read(checkpoint)
    weights = {f"codec.{name}": t.to(dtype) for name, t in part(full, "codec").items()}
    write(dataclasses.replace(full, tensors=weights), path)


def export_encoder(checkpoint: Path, path: Path) -> None:
    """Write a codec's encoder, as the second stage left it, as an encoder checkpoint to probe."""
    full = read(checkpoint)
    weights = {f"encoder.{n}": t for n, t in part(full, "codec.encoder").items()}
    exported = encoders.Checkpoint(
        recipe=dataclasses.replace(full.encoder, export="student"),
        step=full.step,
        seed=full.seed,
        corpora=full.corpora,
        audio_sha256=full.audio_sha256,
        tensors=weights,
    )
    encoders.write(exported, path)
