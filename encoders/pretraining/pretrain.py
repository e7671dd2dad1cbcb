"""`pretrain`: train a recipe, or go on where the same call was stopped."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from probe_bench.encoders.pretraining import checkpoint as checkpoints
from probe_bench.encoders.pretraining.agreement import ViewBatch
from probe_bench.encoders.pretraining.checkpoint import Checkpoint
from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.data.loading import prefetched
from probe_bench.encoders.pretraining.data.sources import Source
from probe_bench.encoders.pretraining.gather import of_every_process, rank, world_size
from probe_bench.encoders.pretraining.jepa import MaskedBatch
from probe_bench.encoders.pretraining.monitors import collapsed_since
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.resume import refuse_another
from probe_bench.encoders.pretraining.trainer import Trainer
from probe_bench.encoders.pretraining.training_log import TrainingLog, progress
from probe_bench.encoders.pretraining.training_record import TrainingRecord
from probe_bench.errors import CheckpointError, UserError

__all__ = ["CHECKPOINT", "TrainOptions", "train"]

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a training runs; nothing here changes what is learnt but `seed`.

    Attributes:
        out: Folder; gets `checkpoint.safetensors`, `log.csv`, `pretrain.json` and TensorBoard
            events.
        seed: Of initialisation, crops, masks and everything else that is drawn.
        device: `cpu`, `cuda` ...
        checkpoint_every: Steps between checkpoints.
        monitor_every: Steps between rows of the log.
        workers: Processes that decode audio and draw masks; 0 for this one.
        compiled: Compile the encoder's blocks.
        stop_on_collapse: Stop when `patience` monitored steps in a row are not healthy.
        patience: As said.
        observe: Called with the checkpoint's path every `observe_every` steps.
        observe_every: As said; 0 for never.
    """

    out: Path
    seed: int = 0
    device: str = "cpu"
    checkpoint_every: int = 200
    monitor_every: int = 50
    workers: int = 0
    compiled: bool = False
    stop_on_collapse: bool = False
    patience: int = 3
    observe: Callable[[Path, int], None] | None = None
    observe_every: int = 0


def train(
    recipe: Recipe,
    source: Source,
    options: TrainOptions,
    *,
    corpora: Sequence[str] = (),
    console: Console | None = None,
) -> Path:
    """Train a recipe; the same call goes on where it was stopped, bit for bit on CPU.

    Under `torchrun` every process calls this; together they see the batches of a single one.

    Args:
        recipe: What to train.
        source: Training audio.
        options: How to run.
        corpora: Names of the training audio, kept in the checkpoint.
        console: Where progress is shown; nowhere if None.

    Returns:
        Path of the checkpoint.

    Raises:
        UserError: If `out` holds another training, the batch cannot be shared out, the processes
            do not see one checkpoint, or the training was stopped because it collapsed.
    """
    _refuse_batch(recipe)
    trainer = Trainer.start(
        recipe, seed=options.seed, device=options.device, compiled=options.compiled
    )
    blank = Checkpoint(
        recipe=recipe,
        step=0,
        seed=options.seed,
        corpora=tuple(corpora),
        audio_sha256=source.digest(),
        tensors={},
    )
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / CHECKPOINT
    done = _resume(trainer, blank, path) if path.exists() else 0
    _agree(done, path)
    if done == recipe.steps:
        if console:
            console.print(f"{path}: all {done} steps are done", soft_wrap=True)
        return path
    maker = BatchMaker(
        recipe=recipe, source=source, seed=options.seed, rank=rank(), world=world_size()
    )
    steps = range(done, recipe.steps)
    batches = prefetched(maker, steps, workers=options.workers, pin=trainer.device.type == "cuda")
    try:
        if rank():
            _follow(trainer, batches, steps, options)
        else:
            _lead(trainer, batches, steps, blank, options, console)
    except KeyboardInterrupt:
        saved = checkpoints.read(path).step if path.exists() else 0
        raise KeyboardInterrupt(f"; the same command goes on from step {saved}") from None
    return path


def _refuse_batch(recipe: Recipe) -> None:
    """Refuse a batch that the processes cannot share out."""
    if recipe.batch_size % (world_size() * recipe.crops_per_clip):
        raise UserError(
            f"a batch of {recipe.batch_size} crops, {recipe.crops_per_clip} from each clip, over "
            f"{world_size()} processes; expected a multiple; change batch_size or the processes"
        )
    if recipe.batch_size < 2 * world_size():
        raise UserError(
            f"a batch of {recipe.batch_size} over {world_size()} processes; expected two crops or "
            "more in each: what a single crop gives cannot be told from a constant"
        )


def _follow(
    trainer: Trainer,
    batches: Iterable[MaskedBatch | ViewBatch],
    steps: range,
    options: TrainOptions,
) -> None:
    """Do the steps of a process that writes nothing."""
    _stop_all(stop=False)
    for step, batch in zip(steps, batches, strict=True):
        monitored = _due(step, options.monitor_every, steps)
        trainer.step(step, batch, monitored=monitored)
        if monitored:
            _stop_all(stop=False)


def _lead(
    trainer: Trainer,
    batches: Iterable[MaskedBatch | ViewBatch],
    steps: range,
    blank: Checkpoint,
    options: TrainOptions,
    console: Console | None,
) -> None:
    """Do the steps of the process that logs, writes checkpoints and watches for collapse."""
    path = options.out / CHECKPOINT
    title = f"{blank.recipe.system} {blank.recipe.preset}"
    record = TrainingRecord.open(
        options.out, blank, device=options.device, compiled=options.compiled, done=steps.start
    )
    with (
        contextlib.closing(TrainingLog.open(options.out, steps.start)) as log,
        progress(console, title, steps=len(steps) + steps.start, done=steps.start) as show,
    ):
        kind = collapsed_since(log.verdicts, options.patience)
        stop = bool(kind) and options.stop_on_collapse
        _stop_all(stop=stop, why=_collapsed(path, steps.start, kind, options))
        for step, batch in zip(steps, batches, strict=True):
            monitored = _due(step, options.monitor_every, steps)
            row = trainer.step(step, batch, monitored=monitored)
            show(row)
            kind = None
            if monitored:
                log.write(row)
                kind = collapsed_since(log.verdicts, options.patience)
            stop = bool(kind) and options.stop_on_collapse
            observed = _due(step, options.observe_every, steps)
            if stop or observed or _due(step, options.checkpoint_every, steps):
                state = dataclasses.replace(blank, step=step + 1, tensors=trainer.tensors())
                checkpoints.write(state, path)
                record.write(step + 1)
            if kind and log.verdicts[-options.patience - 1 : -options.patience] != [kind]:
                _warn(console, step + 1, kind)
            if monitored:
                _stop_all(stop=stop, why=_collapsed(path, step + 1, kind, options))
            if observed and options.observe:
                options.observe(path, step + 1)


def _due(step: int, every: int, steps: range) -> bool:
    """Say whether something that happens every so many steps, and at the last, happens now."""
    return every > 0 and ((step + 1) % every == 0 or step + 1 == steps.stop)


def _stop_all(
    *, stop: bool, why: str = "stopped, because the first process saw a collapse"
) -> None:
    """Stop this process if any process says so."""
    if any(of_every_process(int(stop))):
        raise UserError(why)


def _collapsed(path: Path, step: int, kind: str | None, options: TrainOptions) -> str:
    return (
        f"{path}: stopped after step {step}: {kind} collapse in the last {options.patience} monitored "
        "steps; see log.csv, change the recipe, or go on without --stop-on-collapse"
    )


def _warn(console: Console | None, step: int, kind: str) -> None:
    if console:
        console.print(f"[bold red]alarm[/] step {step}: {kind} collapse (see log.csv)")


def _resume(trainer: Trainer, wanted: Checkpoint, path: Path) -> int:
    """Fill the trainer from a checkpoint of the same training; return the steps done."""
    found = checkpoints.read(path)
    refuse_another(found, wanted, path)
    optimiser = {n: t for n, t in found.tensors.items() if n.startswith("optimiser.")}
    if not optimiser:
        raise CheckpointError(
            f"{path}: holds no optimiser state, so it cannot go on; expected what `pretrain` wrote, "
            "not an exported encoder; give another --out"
        )
    weights = {n: t for n, t in found.tensors.items() if n not in optimiser}
    checkpoints.fill(trainer.model, weights, path)
    trainer.restore_optimiser(optimiser)
    return found.step


def _agree(done: int, path: Path) -> None:
    """Refuse processes that would go on from different steps: they would wait for ever."""
    found = of_every_process(done)
    if len(set(found)) > 1:
        raise UserError(
            f"{path}: process {rank()} found {done} steps done, all of them {sorted(set(found))}; "
            "expected one checkpoint; put --out on a folder that every machine shares"
        )
