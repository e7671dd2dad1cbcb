"""Train and measure many settings side by side: a process each, on whatever devices there are."""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import torch
from rich.console import Console

from probe_bench import screen
from probe_bench.config import RunConfig
from probe_bench.corpora import load_corpora
from probe_bench.encoders.pretraining.data.tape import Tape, load_tape
from probe_bench.studies.cutoff.audio import training_audio
from probe_bench.studies.cutoff.knobs import Audio
from probe_bench.studies.cutoff.scales import RATE_HZ
from probe_bench.studies.cutoff.training import Training
from probe_bench.studies.tones import tone_tape

__all__ = ["TONES", "Place", "do_all", "load_source", "places"]

TONES = ("tones",)
"""Named in place of corpora: computed tones, for the smallest scale."""

_SCENES = ("scenes-pretrain",)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one training at a time is done.

    Attributes:
        device: `cpu`, `cuda:0` ...
        threads: CPU threads that it may use.
    """

    device: str
    threads: int


def places(device: torch.device, workers: int | None) -> list[Place]:
    """One for each GPU, or for each core of a machine without.

    Args:
        device: What was asked for.
        workers: Number of places; None for as many as there are devices or cores.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    n = workers or gpus or cores
    names = [f"cuda:{i % gpus}" if gpus else "cpu" for i in range(n)]
    return [Place(device=name, threads=max(1, cores // n)) for name in names]


def do_all(
    trainings: Sequence[Training],
    at: Sequence[Place],
    config: RunConfig,
    root: Path,
    console: Console,
) -> None:
    """Train and measure everything that is not done yet, in the order given.

    Args:
        trainings: What to do.
        at: Where.
        config: What measuring needs of a run's configuration.
        root: Where embedded corpora are kept.
        console: Where progress is shown.
    """
    free = multiprocessing.get_context("spawn").Queue()
    for place in at:
        free.put(place)
    with (
        ProcessPoolExecutor(
            len(at),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_settle,
            initargs=(free,),
        ) as pool,
        screen.progress(console) as bar,
    ):
        shown = bar.add_task("trainings", total=len(trainings))
        running = {pool.submit(_do, each, config, root): each for each in trainings}
        try:
            for done in as_completed(running):
                done.result()
                bar.update(shown, advance=1, description=running[done].folder.name)
        except BaseException:
            # What runs is resumable, and nobody who stops a study wants to wait for it.
            for worker in multiprocessing.active_children():
                worker.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_SETTLED: list[Place] = []  # of this process, once it is a worker


def _settle(free: "multiprocessing.Queue[Place]") -> None:
    """Take one of the places for the life of this process."""
    place = free.get()
    torch.set_num_threads(place.threads)
    _SETTLED[:] = [place]


def _do(training: Training, config: RunConfig, root: Path) -> None:
    source = load_source(
        training.knobs.audio, training.audio, root, crop_samples=training.recipe.crop_samples
    )
    training.pretrain(source, _SETTLED[0].device)
    training.measure(config)


@lru_cache(maxsize=1)
def load_source(kind: Audio, corpora: tuple[str, ...], root: Path, *, crop_samples: int) -> Tape:
    """Load training audio; it is kept for the next training.

    Args:
        kind: What is made of the corpora.
        corpora: Their names, or `TONES`.
        root: Where embedded corpora are kept.
        crop_samples: Length of a crop.
    """
    if corpora == TONES:
        return tone_tape()

    def load(names: tuple[str, ...]) -> Tape:
        return load_tape(load_corpora(names, root), RATE_HZ, crop_samples)

    return training_audio(kind, partial(load, corpora), partial(load, _SCENES))
