"""Pretraining steps: rates, memory, arithmetic and where the time goes; and published steps beside ours.

`python benchmarks/pretrain.py [--systems S ...] [--presets P ...] [--batch N] [--device cuda]` prints a
table and writes it as CSV. One run on one machine; crops are noise, which costs what speech costs.

* utilisation: operations of the forward and backward pass (`torch.utils.flop_counter`, so matrix
  products, convolutions and attention, padding included) per second of a whole step, over the rate of
  a product of two square matrices in the same run, device and type.
* batch: seconds to draw and cut one batch in this process; workers do it beside the step.
* peak: rise of the process's resident memory (CPU, Linux) or the largest allocation (CUDA).

With `--audio-jepa PATH` or `--wavjepa PATH`, checkouts of the published repositories (see
`published_steps`), their step alternates with ours: same geometry, batch, type, process. A step starts
with the batch that a data loader gives: for Audio-JEPA spectrograms and index lists, for WavJEPA and
ours waveforms. So our log-mel is inside our step and theirs is outside; `with batch` counts both.
"""

import csv
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from measuring import Operations, peak_memory, product_rate, timed
from published_steps import PublishedStep, audio_jepa, wavjepa
from torch.profiler import ProfilerActivity, profile

from probe_bench.encoders.pretraining.agreement import ViewBatch
from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.encoders.pretraining.jepa import MaskedBatch
from probe_bench.encoders.pretraining.presets import find_recipe, presets
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.trainer import Trainer

Precision = Literal["float32", "bfloat16"]
PARTS = ("forward", "backward", "optimiser", "teacher")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to time.

    Attributes:
        systems: Names; all that have the preset if none is given.
        presets: Of every system.
        batch: Crops in a step; the preset's if None.
        steps: Timed steps, or rounds of a comparison; one more comes before them.
        device: `cpu`, `cuda` ...
        threads: Of torch.
        precision: Of the forward pass; the preset's if None.
        compile: Compile the blocks of ours, and what WavJEPA's own option compiles of theirs.
        audio_jepa: Checkout of LudovicTuncay/Audio-JEPA; HEAD needs flash-attn, ff42ca4 does not.
        wavjepa: Checkout of labhamlet/wavjepa.
        out: CSV file.
    """

    systems: tuple[str, ...] = ()
    presets: tuple[str, ...] = ("tiny",)
    batch: int | None = None
    steps: int = 5
    device: str = "cpu"
    threads: int = 1
    precision: Precision | None = None
    compile: bool = False
    audio_jepa: Path | None = None
    wavjepa: Path | None = None
    out: Path = Path("out/benchmarks/pretrain.csv")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One system and preset; times are medians."""

    system: str
    preset: str
    precision: str
    batch: int
    s_per_step: float
    clips_per_s: float
    tokens_per_s: float
    peak_mib: float
    gflop_per_step: float
    utilisation: float
    padding: float
    s_per_batch: float
    forward: float
    backward: float
    optimiser: float
    teacher: float


@dataclass(frozen=True, kw_only=True)
class Duel:
    """A published step against ours; ratios are theirs over ours, round by round.

    `ratio_cpu_s` compares processor seconds, which other jobs on a shared machine disturb less.
    """

    system: str
    preset: str
    precision: str
    batch: int
    weights: int
    ours_gflop: float
    theirs_gflop: float
    ours_s: float
    theirs_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    ratio_with_batch: float
    ratio_cpu_s: float


def noise(recipe: Recipe, clips: int = 20) -> Tape:
    """Clips of noise, long enough for the recipe's excerpts."""
    length = max(recipe.crop_samples, recipe.excerpt_samples or 0)
    samples = np.random.default_rng(0).standard_normal(length * clips) * 3000
    return Tape(
        samples=samples.astype(np.int16),
        lengths=np.full(clips, length),
    )


def measure(recipe: Recipe, options: Options, rates: Mapping[Precision, float]) -> Row:
    """Time one recipe."""
    device, tape = options.device, noise(recipe)
    make = BatchMaker(recipe=recipe, source=tape, seed=0)
    with peak_memory(device) as peak:
        trainer = Trainer.start(recipe, seed=0, device=device, compiled=options.compile)
        made, took = [], []
        for step in range(options.steps + 1):
            start = time.perf_counter()
            batch = make(step)
            made.append(time.perf_counter() - start)
            took.append(timed(partial(trainer.step, step, batch), device).wall)
        peak_mib = peak()
    seconds = statistics.median(took[1:])
    # Compiled blocks hide their operations from the counter, so they are counted uncompiled.
    flop = operations(recipe, make(0), device)
    tokens = recipe.batch_size * recipe.grid.tokens
    return Row(
        system=recipe.system,
        preset=recipe.preset,
        precision=recipe.precision,
        batch=recipe.batch_size,
        s_per_step=seconds,
        clips_per_s=recipe.batch_size / seconds,
        tokens_per_s=tokens / seconds,
        peak_mib=peak_mib,
        gflop_per_step=flop / 1e9,
        utilisation=flop / seconds / rates[recipe.precision],
        padding=statistics.mean(padding(make(step)) for step in range(5)),
        s_per_batch=statistics.median(made[1:]),
        **shares(trainer, make, options),
    )


def operations(recipe: Recipe, batch: MaskedBatch | ViewBatch, device: str) -> int:
    """Operations of one forward and backward pass."""
    trainer = Trainer.start(recipe, seed=0, device=device)
    counter = Operations()  # type: ignore[no-untyped-call]
    with counter:
        trainer.step(0, batch)
    return int(counter.total)


def padding(batch: MaskedBatch | ViewBatch) -> float:
    """Share of padding in the sequences of encoder and predictor together."""
    if not isinstance(batch, MaskedBatch):
        return 0.0
    groups = batch.targets.index.shape[1]
    parts = [(batch.context, 1 + groups), (batch.targets, 1)]  # each group decodes the context anew
    all_tokens = sum(part.index.numel() * times for part, times in parts)
    real = sum(
        (part.index.numel() if part.valid is None else int(part.valid.sum())) * times
        for part, times in parts
    )
    return 1 - real / all_tokens


def shares(trainer: Trainer, make: BatchMaker, options: Options) -> dict[str, float]:
    """Share of each part in a step's time, from the marks that the trainer leaves in a profile."""
    first = options.steps + 1
    cuda = options.device != "cpu"
    activities = [ProfilerActivity.CUDA] if cuda else []
    with profile(activities=[ProfilerActivity.CPU, *activities], acc_events=True) as profiled:
        for step in (first, first + 1):
            trainer.step(step, make(step))
    spent = {
        event.key: float(event.device_time_total if cuda else event.cpu_time_total)
        for event in profiled.key_averages()
    }
    parts = {name: spent.get(name, 0.0) for name in PARTS}
    return {name: value / sum(parts.values()) for name, value in parts.items()}


def compare(recipe: Recipe, theirs: PublishedStep, options: Options) -> Duel:
    """Let a published step and ours take turns."""
    device = options.device
    trainer = Trainer.start(recipe, seed=0, device=device, compiled=options.compile)
    make = BatchMaker(recipe=recipe, source=noise(recipe), seed=0)
    rounds = []
    for step in range(options.steps + 1):
        start = time.perf_counter()
        batch = make(step)
        made = time.perf_counter() - start
        assert isinstance(batch, MaskedBatch)
        ours = timed(partial(trainer.step, step, batch), device)
        start = time.perf_counter()
        collated = theirs.collate(batch.waveform)
        their_batch = time.perf_counter() - start
        step_s = timed(partial(published_step, theirs, collated, recipe, device), device)
        rounds.append((ours, step_s, made, their_batch))
    ratios = sorted(b.wall / a.wall for a, b, _, _ in rounds[1:])
    counter = Operations()  # type: ignore[no-untyped-call]
    with counter:
        published_step(theirs, theirs.collate(batch.waveform), recipe, device)
    return Duel(
        system=recipe.system,
        preset=recipe.preset,
        precision=recipe.precision,
        batch=recipe.batch_size,
        weights=theirs.parameters,
        ours_gflop=operations(recipe, batch, device) / 1e9,
        theirs_gflop=int(counter.total) / 1e9,
        ours_s=statistics.median(a.wall for a, _, _, _ in rounds[1:]),
        theirs_s=statistics.median(b.wall for _, b, _, _ in rounds[1:]),
        ratio=statistics.median(ratios),
        ratio_low=ratios[0],
        ratio_high=ratios[-1],
        ratio_with_batch=statistics.median(
            (b.wall + d) / (a.wall + c) for a, b, c, d in rounds[1:]
        ),
        ratio_cpu_s=statistics.median(b.cpu / a.cpu for a, b, _, _ in rounds[1:]),
    )


def published_step(theirs: PublishedStep, batch: object, recipe: Recipe, device: str) -> None:
    """Do one step of theirs as Lightning's automatic optimisation does it."""
    enabled = recipe.precision == "bfloat16"
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=enabled):
        loss = theirs.forward(batch)
    theirs.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    theirs.finish()


def changed(recipe: Recipe, options: Options) -> Recipe:
    """Apply the options."""
    batch = options.batch or recipe.batch_size
    return replace(
        recipe,
        batch_size=batch,
        crops_per_clip=1 if batch % recipe.crops_per_clip else recipe.crops_per_clip,
        precision=options.precision or recipe.precision,
    )


def duels(options: Options) -> Iterator[Duel]:
    """Compare with every checkout that is given, at every preset."""
    for preset in options.presets:
        if options.audio_jepa and preset in presets()["audio-jepa"]:
            recipe = changed(find_recipe("audio-jepa", preset), options)
            theirs = audio_jepa(options.audio_jepa, recipe, options.device)
            yield compare(recipe, theirs, options)
        if options.wavjepa and preset in presets()["wavjepa"]:
            recipe = changed(find_recipe("wavjepa", preset), options)
            theirs = wavjepa(options.wavjepa, recipe, options.device, compiled=options.compile)
            yield compare(recipe, theirs, options)


def table(options: Options) -> Iterator[Row]:
    """Measure every system at every preset that it has."""
    recipes = [
        changed(of_system[preset], options)
        for system, of_system in presets().items()
        for preset in options.presets
        if preset in of_system and system in (options.systems or presets())
    ]
    kinds = {recipe.precision for recipe in recipes}
    rates = {kind: product_rate(options.device, kind) for kind in kinds}
    for kind, rate in rates.items():
        print(f"matrix products, {kind}: {rate / 1e9:.0f} GFLOP/s", flush=True)
    for recipe in recipes:
        yield measure(recipe, options, rates)


def report(rows: Iterator[Row] | Iterator[Duel], path: Path) -> None:
    """Print rows as they come and write them as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = None
        for row in rows:
            values = {
                name: float(f"{value:.4g}") if isinstance(value, float) else value
                for name, value in asdict(row).items()
            }
            if writer is None:
                writer = csv.DictWriter(file, list(values))
                writer.writeheader()
                print("| " + " | ".join(values) + " |\n|" + "---|" * len(values))
            writer.writerow(values)
            file.flush()
            print("| " + " | ".join(str(value) for value in values.values()) + " |", flush=True)


def main(options: Options) -> None:
    """Print what was asked for."""
    torch.set_num_threads(options.threads)
    on_cpu = options.device == "cpu"
    machine = platform.processor() or platform.machine()
    place = machine if on_cpu else torch.cuda.get_device_name(options.device)
    print(f"python {shlex.join(sys.argv)}")
    print(f"{place}, {options.threads} threads, torch {torch.__version__}", flush=True)
    against = options.audio_jepa or options.wavjepa
    report(duels(options) if against else table(options), options.out)


if __name__ == "__main__":
    main(tyro.cli(Options))
