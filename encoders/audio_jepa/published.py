"""The published Audio-JEPA checkpoint (`JEPA.ckpt`): its geometry and its tensors under our names.

Source: github.com/LudovicTuncay/Audio-JEPA, first commit (`attn.qkv`, 128 bands x 256 frames) and
later ones (`attn.Wqkv`, 96 x 512). Tokens are time-major there as here; the position table is not
ours: its first half codes frequency and its second half time.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from probe_bench.encoders.audio_jepa.presets import PRESETS
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.published import (
    Part,
    Place,
    adopt,
    block_count,
    block_places,
    choose,
    describe,
    head_count,
    odd_positions,
    other,
    read_tensors,
    shape_of,
)
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.errors import CheckpointError

__all__ = ["PREFIXES", "read"]

# The authors evaluate the target encoder where the file holds one.
PREFIXES: Mapping[Part, str] = {"teacher": "target_encoder.", "student": "encoder."}

_LATER_NAMES = {"attn.Wqkv.": "attn.qkv.", "attn.out_proj.": "attn.proj."}
_BLOCK = {
    "norm1": "norm1.",
    "qkv": "attn.qkv.",
    "out": "attn.proj.",
    "norm2": "norm2.",
    "fc1": "mlp.fc1.",
    "fc2": "mlp.fc2.",
}


def read(path: Path, which: str) -> tuple[Recipe, dict[str, Tensor]]:
    """Read the encoder of a published file.

    Args:
        path: Lightning checkpoint, torch file or safetensors.
        which: `student` (context encoder), `teacher` (target encoder), or empty: the teacher if the
            file holds one.

    Returns:
        The architecture, and tensors named as in its `Backbone`, with `positions` beside them.

    Raises:
        CheckpointError: If the file is damaged, or tensors are missing, unknown or misshapen.
    """
    tensors = _with_biases({_first_name(n): t for n, t in read_tensors(path).items()})
    part = choose(tensors, PREFIXES, which, path)
    prefix = PREFIXES[part]
    hidden, dim = shape_of(tensors, f"{prefix}blocks.0.mlp.fc1.weight", path)
    encoder = TransformerShape(
        dim=dim,
        depth=block_count(tensors, f"{prefix}blocks."),
        heads=head_count(dim, path),
        mlp_ratio=hidden / dim,
    )
    recipe = describe(_preset(tensors, prefix, path), part, encoder.depth, encoder=encoder)
    places = _places(recipe.grid.tokens, dim)
    places |= block_places("blocks.", encoder.depth, _BLOCK, dim, hidden)
    places = {f"{prefix}{name}": place for name, place in places.items()}
    named = adopt(tensors, places, (PREFIXES[other(part)], "predictor."), path)
    # Conv2d kernels of 1 x 16 frames x 16 bands: the pixel order of our patches.
    named["frontend.projection.weight"] = named["frontend.projection.weight"].flatten(1)
    return recipe, named | odd_positions(named.pop("positions")[0], recipe.grid)


def _first_name(name: str) -> str:
    for later, first in _LATER_NAMES.items():
        name = name.replace(later, first)
    return name


def _with_biases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add zero query-key-value biases to a file that has none (the code's default)."""
    weights = [n for n in tensors if re.fullmatch(r".*blocks\.\d+\.attn\.qkv\.weight", n)]
    biases = {n.removesuffix("weight") + "bias": torch.zeros(len(tensors[n])) for n in weights}
    encoders = tuple(PREFIXES.values())
    biases = {n: t for n, t in biases.items() if n.startswith(encoders)}
    return tensors if biases.keys() & tensors.keys() else biases | tensors


def _preset(tensors: Mapping[str, Tensor], prefix: str, path: Path) -> Recipe:
    """Find the spectrogram; the file tells the number of its patches only."""
    tokens = shape_of(tensors, f"{prefix}pos_embed", path)[1]
    presets = {preset.grid.tokens: preset for preset in (PRESETS["paper"], PRESETS["code"])}
    if tokens not in presets:
        raise CheckpointError(
            f"{path}: {tokens} patches; expected {' or '.join(map(str, presets))} "
            "(10 s at 32 kHz); give the authors' JEPA.ckpt"
        )
    return presets[tokens]


def _places(tokens: int, dim: int) -> dict[str, Place]:
    """Tensors outside the blocks."""
    return {
        "pos_embed": Place(name="positions", shape=(1, tokens, dim)),
        "patch_embed.proj.weight": Place(name="frontend.projection.weight", shape=(dim, 1, 16, 16)),
        "patch_embed.proj.bias": Place(name="frontend.projection.bias", shape=(dim,)),
        "norm.weight": Place(name="transformer.norm.weight", shape=(dim,)),
        "norm.bias": Place(name="transformer.norm.bias", shape=(dim,)),
    }
