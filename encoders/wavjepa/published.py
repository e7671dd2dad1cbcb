"""Published WavJEPA and WavJEPA-Nat checkpoints: geometry, and tensors under our names.

Source: github.com/labhamlet/wavjepa; the two-microphone model stands in its first commit only
(`extract_audio.cnns`, a position table that is zero in the first microphone's second half). There
all tokens of one microphone come before those of the next; here a frame's tokens follow each other.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.frontends.stem import ConvStemShape
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
from probe_bench.encoders.wavjepa.presets import PRESETS

__all__ = ["PREFIXES", "read"]

# The authors evaluate the context encoder.
PREFIXES: Mapping[Part, str] = {"student": "encoder.", "teacher": "teacher_encoder."}

_BESIDE = (
    "decoder.",
    "decoder_to_encoder_mapper.",
    "encoder_to_decoder_mapper.",
    "mask_token",
    "pos_encoding_decoder",
)
_BLOCK = {
    "norm1": "norm1.",
    "qkv": "self_attn.in_proj_",
    "out": "self_attn.out_proj.",
    "norm2": "norm2.",
    "fc1": "linear1.",
    "fc2": "linear2.",
}
_STEM, _STEMS = "extract_audio.cnn.", "extract_audio.cnns."
_MAP = "post_extraction_mapper"
_FRAMES = 200  # of every published model


def read(path: Path, which: str) -> tuple[Recipe, dict[str, Tensor]]:
    """Read the encoder of a published file; the stem is shared between student and teacher.

    Args:
        path: Lightning checkpoint, torch file or safetensors.
        which: `student` (context encoder, also for an empty text), or `teacher`.

    Returns:
        The architecture (of `wavjepa-nat` where there are two microphones), and tensors named as in
        its `Backbone`, with `positions` beside them where they are not the computed ones.

    Raises:
        CheckpointError: If the file is damaged, or tensors are missing, unknown or misshapen.
    """
    tensors = read_tensors(path)
    part = choose(tensors, PREFIXES, which, path)
    tokens = shape_of(tensors, "pos_encoding_encoder", path)[1]
    microphones = max(tokens // _FRAMES, 1) if f"{_STEMS}0.0.0.weight" in tensors else 1
    tensors = _join_stems(tensors, microphones)
    stem = _stem(tensors, microphones, path)
    layers = f"{PREFIXES[part]}layers."
    hidden, dim = shape_of(tensors, f"{layers}0.linear1.weight", path)
    encoder = TransformerShape(
        dim=dim,
        depth=block_count(tensors, layers),
        heads=head_count(dim, path),
        mlp_ratio=hidden / dim,
        norm="post",
        norm_eps=1e-6,
    )
    recipe = describe(
        PRESETS["base"],
        part,
        encoder.depth,
        system="wavjepa" if microphones == 1 else "wavjepa-nat",
        # 2.01 s with 160 samples a frame, 4.02 s where a seventh convolution doubles that.
        crop_samples=(_FRAMES + 1) * stem.stride_samples,
        frontend=stem,
        encoder=encoder,
    )
    places = _stem_places(stem, dim)
    places |= block_places(layers, encoder.depth, _BLOCK, dim, hidden)
    places |= _other_places(PREFIXES[part], recipe.grid.tokens, dim)
    named = adopt(tensors, places, (PREFIXES[other(part)], *_BESIDE), path)
    table = named.pop("positions").view(microphones, -1, dim)
    return recipe, named | odd_positions(table.transpose(0, 1).flatten(0, 1), recipe.grid)


def _join_stems(tensors: Mapping[str, Tensor], microphones: int) -> dict[str, Tensor]:
    """Make the stems of all microphones the groups of one; a lone one served them all."""
    joined = dict(tensors)
    stems = block_count(tensors, _STEMS)
    for first in [name for name in tensors if name.startswith(f"{_STEMS}0.")]:
        inner = first.removeprefix(f"{_STEMS}0.")
        names = [f"{_STEMS}{m if m < stems else 0}.{inner}" for m in range(microphones)]
        twins = [tensors[n] for n in names if n in tensors]
        if len(twins) == microphones and len({t.shape for t in twins}) == 1:
            joined[f"{_STEM}{inner}"] = torch.cat(twins)
            for name in names:
                joined.pop(name, None)
    return joined


def _stem(tensors: Mapping[str, Tensor], microphones: int, path: Path) -> ConvStemShape:
    """Geometry of the convolutions; shapes do not tell the strides."""
    convs = max(block_count(tensors, _STEM), 1)
    shapes = [shape_of(tensors, f"{_STEM}{conv}.0.weight", path) for conv in range(convs)]
    return ConvStemShape(
        channels=tuple(shape[0] // microphones for shape in shapes),
        kernels=tuple(shape[2] for shape in shapes),
        strides=(5,) + (2,) * (convs - 1),
        microphones=microphones,
    )


def _stem_places(stem: ConvStemShape, dim: int) -> dict[str, Place]:
    """Convolutions, their norms, and the map to the encoder's width."""
    width, normed = stem.channels[-1], (stem.microphones * stem.channels[0],)
    places = {
        f"{_STEM}0.2.weight": Place(name="frontend.first_norm.weight", shape=normed),
        f"{_STEM}0.2.bias": Place(name="frontend.first_norm.bias", shape=normed),
        "feature_norms.weight": Place(name="frontend.norm.weight", shape=(width,)),
        "feature_norms.bias": Place(name="frontend.norm.bias", shape=(width,)),
        f"{_MAP}.weight": Place(name="frontend.projection.weight", shape=(dim, width)),
        f"{_MAP}.bias": Place(name="frontend.projection.bias", shape=(dim,)),
    }
    inputs = (1, *stem.channels[:-1])
    for conv, (i, o, kernel) in enumerate(zip(inputs, stem.channels, stem.kernels, strict=True)):
        places[f"{_STEM}{conv}.0.weight"] = Place(
            name=f"frontend.convs.{conv}.weight", shape=(stem.microphones * o, i, kernel)
        )
    return places


def _other_places(prefix: str, tokens: int, dim: int) -> dict[str, Place]:
    return {
        "pos_encoding_encoder": Place(name="positions", shape=(1, tokens, dim)),
        f"{prefix}norm.weight": Place(name="transformer.norm.weight", shape=(dim,)),
        f"{prefix}norm.bias": Place(name="transformer.norm.bias", shape=(dim,)),
    }
