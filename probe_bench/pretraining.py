"""`pretrain`: recipe and audio from the command line, training, probes on the way, and the figure."""

import dataclasses
from pathlib import Path

from rich.console import Console

from probe_bench import registry
from probe_bench.cache import default_root
from probe_bench.config import PretrainConfig, ShardsConfig
from probe_bench.corpora import load_corpora
from probe_bench.encoders.pretraining.data.shard_writer import write_shards
from probe_bench.encoders.pretraining.data.sources import Source, join
from probe_bench.encoders.pretraining.data.tape import load_tape
from probe_bench.encoders.pretraining.data.words import find_audio, open_sources
from probe_bench.encoders.pretraining.distributed import process_group
from probe_bench.encoders.pretraining.gather import rank
from probe_bench.encoders.pretraining.presets import find_recipe
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.errors import UserError
from probe_bench.folders import make_folder
from probe_bench.gather import pick_device
from probe_bench.probing_steps import StepProbes
from probe_bench.reports.training import draw_training

__all__ = ["open_audio", "pretrain", "shards"]


def pretrain(config: PretrainConfig) -> int:
    """Pretrain a system, draw its monitors, and name the checkpoint."""
    console = Console()
    recipe = _recipe(config)
    if config.probe_every:
        for task in config.probe_task:
            registry.find("task", task, registry.tasks())
    make_folder(config.out)
    with process_group(str(pick_device(config.device))) as device:
        source, names = open_audio(
            config.corpus,
            config.audio,
            sample_rate_hz=recipe.sample_rate_hz,
            crop_samples=recipe.crop_samples,
            root=config.cache or default_root(),
            console=console,
            skip_bad=config.skip_bad,
        )
        probes = StepProbes(config=config)
        options = TrainOptions(
            out=config.out,
            seed=config.seed,
            device=device,
            checkpoint_every=config.checkpoint_every,
            monitor_every=config.monitor_every,
            workers=config.workers,
            compiled=config.compile,
            stop_on_collapse=config.stop_on_collapse,
            observe=probes.measure if config.probe_every else None,
            observe_every=config.probe_every,
        )
        first = rank() == 0
        try:
            checkpoint = train(recipe, source, options, corpora=names, console=console)
        finally:
            if first and (config.out / "log.csv").exists():
                console.print(f"figure: {draw_training(config.out)}", soft_wrap=True)
        if first:
            console.print(f"checkpoint: {checkpoint}", soft_wrap=True)
    return 0


def _recipe(config: PretrainConfig) -> Recipe:
    """Find the recipe that the command line names."""
    if config.system.endswith(".toml") and config.preset is not None:
        raise UserError(
            f"--preset {config.preset} beside {config.system}: a recipe file names its base itself; "
            "leave --preset out"
        )
    recipe = find_recipe(config.system, config.preset or "tiny")
    return recipe if config.steps is None else dataclasses.replace(recipe, steps=config.steps)


def shards(config: ShardsConfig) -> int:
    """Pack recordings into shards."""
    files = find_audio(config.audio)
    tars = [path for path in files if path.suffix.lower() == ".tar"]
    if tars:
        raise UserError(f"{tars[0]}: is a shard already; expected recordings, folders or manifests")
    written = write_shards(
        files, make_folder(config.out), shard_bytes=config.shard_mb * 10**6, seed=config.seed
    )
    Console().print(f"{len(files)} recordings in {len(written)} shards: {config.out}")
    return 0


def open_audio(
    corpora: tuple[str, ...],
    audio: tuple[str, ...],
    *,
    sample_rate_hz: int,
    crop_samples: int,
    root: Path,
    console: Console,
    skip_bad: bool = False,
) -> tuple[Source, tuple[str, ...]]:
    """Open what the command line names as training audio; return it and its names.

    Args:
        corpora: Names as in `run`, or `none`; decoded into memory at once.
        audio: Folders, manifests and shards; decoded while training.
        sample_rate_hz: Rate of training.
        crop_samples: Length of a crop.
        root: Where embedded corpora and indexes of shards are kept.
        console: Where left-out recordings are listed.
        skip_bad: Leave recordings of `audio` out whose header is not usable.

    Raises:
        UserError: If nothing is named, or something cannot be had.
    """
    words = () if corpora == ("none",) else corpora
    if not words and not audio:
        raise UserError("nothing to train on; name a --corpus or give --audio FOLDER")
    sources: list[Source] = []
    if words:
        loaded = load_corpora(words, root)
        sources.append(load_tape(loaded, sample_rate_hz, crop_samples))
        words = tuple(corpus.name for corpus in loaded)
    if audio:
        opened = open_sources(audio, sample_rate_hz, root, skip_bad=skip_bad)
        for line in opened.left_out:
            console.print(f"left out: {line}", markup=False, soft_wrap=True)
        sources.append(opened)
    return join(sources), (*words, *(Path(word).name for word in audio))
