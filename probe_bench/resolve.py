"""From what stands on the command line to an encoder: `[random:]NAME[:ARGUMENT]` or `[random:]PATH[#WHOSE]`."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from probe_bench import registry
from probe_bench.encoder import Encoder, EncoderSpec
from probe_bench.errors import CheckpointError, UserError

__all__ = ["CHECKPOINT", "resolve"]

CHECKPOINT = "checkpoint.safetensors"
_RANDOM = "random:"


def resolve(reference: str, seed: int = 0, *, trust_code: bool = False) -> Encoder:
    """Build the encoder that a reference names.

    A registered name comes before a file of the same name; write `./NAME` for the file.

    Args:
        reference: `NAME`, `NAME:ARGUMENT`, a checkpoint that `probe-bench pretrain` wrote, or the
            folder that holds one; with `random:` in front the same architecture at random init.
        seed: Seed of a random init; trained encoders don't depend on it.
        trust_code: Let the encoder run code that comes with its checkpoint.

    Returns:
        The encoder, named as typed (a path by the name of its folder or file).

    Raises:
        UserError: If nothing has that name, or the argument does not fit.
        CheckpointError: If the checkpoint cannot be read.
    """
    random, rest = reference.startswith(_RANDOM), reference.removeprefix(_RANDOM)
    random_seed = seed if random else None
    name, colon, argument = rest.partition(":")
    file, mark, which = rest.partition("#")
    if name not in registry.encoders() and _is_path(file):
        checkpoint = _checkpoint(Path(file))
        encoder = _spec_of(checkpoint).load(f"{checkpoint}{mark}{which}", random_seed)
        encoder.name = _RANDOM * random + _name_of(Path(file)) + mark + which
        return encoder
    spec = registry.find("encoder", name, registry.encoders())
    if colon and not spec.argument:
        raise UserError(
            f"{reference}: {name} takes nothing after a colon; write {name}, or give its file alone"
        )
    load = (spec.load_trusted if trust_code else None) or spec.load
    encoder = load(argument, random_seed)
    encoder.name = reference
    return encoder


def _is_path(text: str) -> bool:
    """Say whether a text that is no registered name is meant as a path."""
    return bool(text) and ("/" in text or text.endswith(".safetensors") or Path(text).exists())


def _name_of(path: Path) -> str:
    """Name what a path holds: `out/mine`, `out/mine/checkpoint.safetensors` and `mine.safetensors` alike."""
    owner = path.resolve().parent if path.name == CHECKPOINT else path
    return owner.name.removesuffix(".safetensors")


def _checkpoint(path: Path) -> Path:
    """Return the checkpoint file at a path or in a folder."""
    file = path / CHECKPOINT if path.is_dir() else path
    if not file.is_file():
        found = f"a folder without {CHECKPOINT}" if path.is_dir() else "no such file or folder"
        raise CheckpointError(
            f"{path}: {found}; expected a checkpoint written by `probe-bench pretrain`; for a "
            f"transformers model write hf:{path}"
        )
    return file


def _spec_of(checkpoint: Path) -> EncoderSpec:
    """Return the registered system that a checkpoint's metadata names."""
    try:
        with safe_open(checkpoint, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{checkpoint}: not readable as safetensors ({error}); copy it again or pretrain again"
        ) from error
    system = metadata.get("system", "")
    if system not in registry.encoders():
        found = (
            f"made by the unknown system {system!r}" if system else "its metadata names no system"
        )
        raise CheckpointError(
            f"{checkpoint}: {found}; expected a checkpoint written by `probe-bench pretrain`; for a "
            f"transformers model write hf:{checkpoint.parent}"
        )
    return registry.encoders()[system]
