"""From an encoder of ours to what its export says of it."""

from collections.abc import Collection, Sequence
from pathlib import Path

from probe_bench.encoder import Layer
from probe_bench.encoders.export.shipped.interface import Interface, OutLayer
from probe_bench.encoders.export.shipped.windowed import Architecture
from probe_bench.encoders.pretraining.inference import JepaEncoder
from probe_bench.errors import UserError

__all__ = ["architecture_of", "interface_of", "pick_layers", "plain_name"]

_RANDOM = "random:"


def plain_name(reference: str) -> str:
    """Name an encoder without folders, which are nobody else's: `out/mine#teacher` is `mine#teacher`.

    Args:
        reference: As on the command line.
    """
    random, rest = reference.startswith(_RANDOM), reference.removeprefix(_RANDOM)
    file, mark, which = rest.partition("#")
    system, colon, path = file.partition(":")
    name = f"{system}:{Path(path).stem}" if colon else Path(system).name
    return _RANDOM * random + name.rstrip(":") + mark + which


def pick_layers(encoder: JepaEncoder, wanted: Sequence[str]) -> list[str]:
    """Names of the wanted layers in the encoder's order; `all` is every one.

    Raises:
        UserError: If there is no such layer.
    """
    known = [layer.name for layer in encoder.layers]
    unknown = [name for name in wanted if name not in [*known, "all"]]
    if unknown:
        raise UserError(
            f"--layer {unknown[0]}: {encoder.name} has no such layer; expected all, or some of "
            + ", ".join(known)
        )
    return known if "all" in wanted else [name for name in known if name in wanted]


def interface_of(encoder: JepaEncoder, names: Collection[str]) -> Interface:
    """Describe an encoder that gives out some of its layers."""
    shape = encoder.recipe.frontend
    return Interface(
        name=plain_name(encoder.name),
        sample_rate_hz=encoder.sample_rate_hz,
        min_samples=encoder.min_samples,
        window_samples=encoder.recipe.crop_samples,
        hop_samples=shape.stride_samples,
        first_frame_samples=shape.first_frame_samples,
        layers=tuple(
            _out(index, layer) for index, layer in enumerate(encoder.layers) if layer.name in names
        ),
    )


def _out(index: int, layer: Layer) -> OutLayer:
    return OutLayer(name=layer.name, dim=layer.dim, index=index)


def architecture_of(encoder: JepaEncoder) -> Architecture:
    """Describe what an encoder is made of."""
    return Architecture(
        frontend=encoder.recipe.frontend,
        encoder=encoder.recipe.encoder,
        tokens=len(encoder.backbone.positions),
        pool_bands=encoder.recipe.pool_bands,
    )
