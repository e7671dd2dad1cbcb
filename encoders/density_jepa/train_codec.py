"""Train the second stage, or go on where the same call was stopped."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from probe_bench.encoders.density_jepa import codec_checkpoint as codecs
from probe_bench.encoders.density_jepa.codec import CodecRecipe
from probe_bench.encoders.density_jepa.codec_checkpoint import CodecCheckpoint
from probe_bench.encoders.density_jepa.codec_trainer import CodecTrainer
from probe_bench.encoders.pretraining import checkpoint as encoders
from probe_bench.encoders.pretraining.data.cuts import CropRule
from probe_bench.encoders.pretraining.data.loading import prefetched
from probe_bench.encoders.pretraining.data.sources import Source, plan
from probe_bench.encoders.pretraining.monitors import Row
from probe_bench.encoders.pretraining.resume import refuse_another
from probe_bench.encoders.pretraining.training_log import TrainingLog, progress

__all__ = ["CODEC", "CodecOptions", "train_codec"]

CODEC = "codec.safetensors"


@dataclass(frozen=True, kw_only=True)
class CodecOptions:
    """How a training runs; nothing here changes what is learnt but `seed`.

    Attributes:
        out: Folder; gets `codec.safetensors`, `log.csv` and TensorBoard events.
        seed: Of initialisation and crops.
        device: `cpu`, `cuda` ...
        checkpoint_every: Steps between checkpoints.
        monitor_every: Steps between rows of the log.
        workers: Processes that decode audio; 0 for this one.
    """

    out: Path
    seed: int = 0
    device: str = "cpu"
    checkpoint_every: int = 200
    monitor_every: int = 50
    workers: int = 0


def train_codec(
    encoder: Path,
    recipe: CodecRecipe,
    source: Source,
    options: CodecOptions,
    *,
    corpora: Sequence[str] = (),
    console: Console | None = None,
) -> Path:
    """Train a waveform decoder for a pretrained encoder; resumes bit for bit on CPU.

    Args:
        encoder: Checkpoint of the first stage, or the folder that holds it.
        recipe: Of the second stage.
        source: Training audio at the encoder's sample rate.
        options: How to run.
        corpora: Names of the training audio, kept in the checkpoint.
        console: Where progress is shown; nowhere if None.

    Returns:
        Path of the codec.

    Raises:
        UserError: If the encoder does not fit the decoder, or `out` holds another training.
    """
    first = encoders.read(encoder / "checkpoint.safetensors" if encoder.is_dir() else encoder)
    weights = {name: t.float() for name, t in encoders.encoder_tensors(first).items()}
    trainer = CodecTrainer.start(first.recipe, recipe, seed=options.seed, device=options.device)
    encoders.fill(trainer.codec.encoder, weights, encoder)
    blank = CodecCheckpoint(
        encoder=first.recipe,
        recipe=recipe,
        encoder_sha256=_digest(weights),
        step=0,
        seed=options.seed,
        corpora=tuple(corpora),
        audio_sha256=source.digest(),
        tensors={},
    )
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / CODEC
    done = _resume(trainer, blank, path) if path.exists() else 0
    if done == recipe.steps:
        if console:
            console.print(f"{path}: all {done} steps are done", soft_wrap=True)
        return path
    _train(trainer, blank, _Crops(blank, source), range(done, recipe.steps), options, console)
    return path


@dataclass(frozen=True)
class _Crops:
    """Crops of every step, as long as the encoder's own training crops."""

    training: CodecCheckpoint
    source: Source

    def __call__(self, step: int) -> Float[Tensor, "batch samples"]:
        training = self.training
        samples = training.encoder.crop_samples
        rule = CropRule(batch=training.recipe.batch_size, crop_samples=samples)
        rng = np.random.default_rng((training.seed, step))
        cuts = plan(self.source, rule, seed=training.seed, step=step, rng=rng)
        return self.source.read(cuts, samples)


def _train(
    trainer: CodecTrainer,
    blank: CodecCheckpoint,
    crops: _Crops,
    steps: range,
    options: CodecOptions,
    console: Console | None,
) -> None:
    """Do the steps that are left, with log and checkpoints."""
    pin = trainer.device.type == "cuda"
    batches = prefetched(crops, steps, workers=options.workers, pin=pin)
    title = f"{blank.encoder.system} {blank.encoder.preset} codec"
    with (
        contextlib.closing(TrainingLog.open(options.out, steps.start)) as log,
        progress(console, title, steps=steps.stop, done=steps.start) as show,
    ):
        for step, waveform in zip(steps, batches, strict=True):
            last = step + 1 == steps.stop
            monitored = last or (step + 1) % options.monitor_every == 0
            row = trainer.step(step, waveform, monitored=monitored)
            show(_shown(row))
            if monitored:
                log.write(row)
            if last or (step + 1) % options.checkpoint_every == 0:
                state = dataclasses.replace(blank, step=step + 1, tensors=trainer.tensors())
                codecs.write(state, options.out / CODEC)


def _shown(row: Row) -> Row:
    """The progress line's rank is that of the codes."""
    return row | {"rank_encoder": row["rank_codes"]} if "verdict" in row else row


def _resume(trainer: CodecTrainer, wanted: CodecCheckpoint, path: Path) -> int:
    """Fill the trainer from a checkpoint of the same training; return the steps done."""
    found = codecs.read(path)
    refuse_another(found, wanted, path)
    encoders.fill(trainer.codec, codecs.part(found, "codec"), path)
    encoders.fill(trainer.discriminators, codecs.part(found, "discriminators"), path)
    names = [name for name in found.tensors if name.startswith("optimiser.")]
    trainer.restore_optimisers({name: found.tensors[name] for name in names})
    return found.step


def _digest(tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(name.encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()
