"""`pretrain`: train a system, or go on where the same call was stopped."""

import dataclasses
import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

import probe_bench.encoders
from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining import checkpoint as checkpoints
from probe_bench.encoders.pretraining.checkpoint import Checkpoint
from probe_bench.encoders.pretraining.recipe import Recipe, Size
from probe_bench.encoders.pretraining.tape import load_tape
from probe_bench.encoders.pretraining.trainer import Trainer
from probe_bench.encoders.pretraining.training_log import LogFile, progress
from probe_bench.errors import CheckpointError
from probe_bench.registry import find

__all__ = ["presets", "pretrain", "train"]


def presets() -> Mapping[str, Mapping[Size, Recipe]]:
    """Presets of every bundled system: all folders under `encoders/` that have `presets.PRESETS`."""
    found: dict[str, Mapping[Size, Recipe]] = {}
    for module in pkgutil.iter_modules(probe_bench.encoders.__path__):
        name = f"probe_bench.encoders.{module.name}"
        if module.ispkg and importlib.util.find_spec(f"{name}.presets"):
            of_system = importlib.import_module(f"{name}.presets").PRESETS
            found[next(iter(of_system.values())).system] = of_system
    return found


def pretrain(
    system: str,
    *,
    corpora: Sequence[Corpus],
    out: Path,
    size: Size = "tiny",
    steps: int | None = None,
    checkpoint_every: int = 200,
    seed: int = 0,
    device: str = "cpu",
    console: Console | None = None,
) -> Path:
    """Pretrain a bundled system; the same call goes on where it was stopped, bit for bit on CPU.

    Args:
        system: Name, e.g. `wavjepa`.
        corpora: Training audio; labels are not read.
        out: Folder; gets `checkpoint.safetensors` and `log.csv`.
        size: Preset.
        steps: Length of the training; the recipe's if None. Schedules stretch with it.
        checkpoint_every: Steps between checkpoints.
        seed: Of initialisation, crops and masks.
        device: `cpu`, `cuda` ...
        console: Where progress is shown; nowhere if None.

    Returns:
        Path of the checkpoint.

    Raises:
        UserError: If there is no such system, or `out` holds another training.
    """
    recipe = find("system", system, presets())[size]
    recipe = recipe if steps is None else dataclasses.replace(recipe, steps=steps)
    return train(
        recipe,
        corpora=corpora,
        out=out,
        checkpoint_every=checkpoint_every,
        seed=seed,
        device=device,
        console=console,
    )


def train(
    recipe: Recipe,
    *,
    corpora: Sequence[Corpus],
    out: Path,
    checkpoint_every: int = 200,
    monitor_every: int = 50,
    seed: int = 0,
    device: str = "cpu",
    console: Console | None = None,
) -> Path:
    """Train any recipe as `pretrain` does; `monitor_every` steps make one row of `log.csv`."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "checkpoint.safetensors"
    tape = load_tape(corpora, recipe.sample_rate_hz, recipe.crop_samples)
    trainer = Trainer.start(recipe, tape, seed=seed, device=device)
    blank = Checkpoint(
        recipe=recipe,
        step=0,
        seed=seed,
        corpora=tuple(corpus.name for corpus in corpora),
        audio_sha256=tape.digest(),
        tensors={},
    )
    done = _resume(trainer, blank, path) if path.exists() else 0
    if done == recipe.steps:
        if console:
            console.print(f"{path}: all {done} steps are done", soft_wrap=True)
        return path
    log = LogFile.open(out / "log.csv", done)
    title = f"{recipe.system} {recipe.size}"
    with progress(console, title, steps=recipe.steps, done=done) as show:
        for step in range(done, recipe.steps):
            last = step + 1 == recipe.steps
            row = trainer.step(step, monitor=last or (step + 1) % monitor_every == 0)
            show(row)
            if "verdict" in row:
                log.write(row)
            if last or (step + 1) % checkpoint_every == 0:
                state = dataclasses.replace(blank, step=step + 1, tensors=trainer.tensors())
                checkpoints.write(state, path)
    return path


def _resume(trainer: Trainer, wanted: Checkpoint, path: Path) -> int:
    """Fill the trainer from a checkpoint of the same training; return the steps done."""
    found = checkpoints.read(path)
    for part in ("recipe", "seed", "corpora", "audio_sha256"):
        if getattr(found, part) != getattr(wanted, part):
            raise CheckpointError(
                f"{path}: holds a training with another {part} "
                f"({_short(getattr(found, part))}); expected {_short(getattr(wanted, part))}; "
                "give another --out, or the same options as before"
            )
    optimiser = {n: t for n, t in found.tensors.items() if n.startswith("optimiser.")}
    weights = {n: t for n, t in found.tensors.items() if n not in optimiser}
    checkpoints.fill(trainer.model, weights, path)
    trainer.restore_optimiser(optimiser)
    return found.step


def _short(value: object) -> str:
    if isinstance(value, Recipe):
        return f"{value.system} {value.size}, {value.steps} steps"
    return ", ".join(value) if isinstance(value, tuple) else str(value)[:12]
