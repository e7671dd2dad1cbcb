"""The collapse study: which switches collapse, to which kind, and which monitor told first."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from probe_bench.cache import default_root
from probe_bench.config import RunConfig, StudyConfig
from probe_bench.corpora import load_corpora
from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.data.sources import Source
from probe_bench.encoders.pretraining.data.tape import load_tape
from probe_bench.encoders.pretraining.monitors import collapsed_since, feature_health
from probe_bench.encoders.pretraining.pretrain import CHECKPOINT, TrainOptions, train
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.trainer import build_model
from probe_bench.folders import make_folder
from probe_bench.gather import pick_device
from probe_bench.reports.collapse import draw_collapse
from probe_bench.reports.collapse_text import console_table, write_report
from probe_bench.run import run
from probe_bench.studies.alarms import PATIENCE, alarms_of
from probe_bench.studies.arms import SCALES, Arm, Scale, recipe_of
from probe_bench.studies.linear import linear_table
from probe_bench.studies.tones import tone_tape

__all__ = ["collapse"]

_LINEAR_SEEDS = 3
_CORPORA = ("speech-pretrain", "scenes-pretrain")


def collapse(config: StudyConfig) -> int:
    """Train every arm that is not trained yet, probe the encoders, and write table and figure."""
    console = Console()
    out, scale = make_folder(config.out), SCALES[config.scale]
    if config.seeds is not None:
        scale = dataclasses.replace(scale, seeds=config.seeds)
    source, names = _audio(config, scale)
    rows = _train_all(config, scale, source, names, console)
    rows.to_csv(out / "collapse.csv", index=False, float_format="%.6g", lineterminator="\n")
    linear = linear_table(seeds=_LINEAR_SEEDS)
    linear.to_csv(out / "linear.csv", index=False, float_format="%.6g", lineterminator="\n")
    if scale.clips:
        _probe(config, scale, console)
    figure, report = draw_collapse(out), write_report(out)
    console.print(console_table(out))
    console.print(f"figure: {figure}", soft_wrap=True)
    console.print(f"report: {report}", soft_wrap=True)
    return 0


def _audio(config: StudyConfig, scale: Scale) -> tuple[Source, tuple[str, ...]]:
    """Computed tones for the smoke test, the embedded pretraining corpora for anything else."""
    if config.scale == "smoke":
        return tone_tape(), ("tones",)
    recipe = recipe_of(scale.chosen[0], scale)
    names = config.audio or _CORPORA
    corpora = load_corpora(names, config.cache or default_root())
    return load_tape(corpora, recipe.sample_rate_hz, recipe.crop_samples), names


def _folder(out: Path, arm: Arm, seed: int) -> Path:
    return out / "arms" / f"{arm.folder}-seed{seed}"


def _train_all(
    config: StudyConfig,
    scale: Scale,
    source: Source,
    names: Sequence[str],
    console: Console,
) -> pd.DataFrame:
    """Train every arm with every seed and look for alarms in its log."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    tables = []
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("", total=len(scale.chosen) * scale.seeds)
        for seed in range(scale.seeds):
            for arm in scale.chosen:
                bar.update(task, description=f"{arm.name}, seed {seed}")
                recipe, folder = recipe_of(arm, scale), _folder(config.out, arm, seed)
                options = TrainOptions(
                    out=folder,
                    seed=seed,
                    device=str(pick_device(config.device)),
                    monitor_every=scale.monitor_every,
                )
                train(recipe, source, options, corpora=names)
                tables.append(_findings(arm, recipe, source, folder, seed))
                bar.advance(task)
    return pd.concat(tables, ignore_index=True)


def _findings(arm: Arm, recipe: Recipe, source: Source, folder: Path, seed: int) -> pd.DataFrame:
    """One row a monitor: where the arm stands, and when the monitor raised its alarm."""
    log = pd.read_csv(folder / "log.csv")
    found = alarms_of(log, untrained(recipe, source, seed))
    about = {
        "arm": arm.name,
        "group": arm.group,
        "parent": arm.parent,
        "switch": arm.switch,
        "folder": folder.name,
        "seed": seed,
        "steps": recipe.steps,
        "verdict": collapsed_since(log["verdict"].tolist(), PATIENCE) or "healthy",
    }
    return pd.DataFrame({name: [value] * len(found) for name, value in about.items()}).join(found)


@torch.no_grad()
def untrained(recipe: Recipe, source: Source, seed: int) -> dict[str, float]:
    """Monitors of the encoder before its first step, on the first step's clips."""
    encoder = build_model(recipe, seed).encoder.eval()
    waveform = BatchMaker(recipe=recipe, source=source, seed=seed)(0).waveform
    stem = encoder.frontend.project(encoder.frontend.features(waveform))
    outputs = encoder.transformer(stem + encoder.positions[: stem.shape[1]])
    health, front = feature_health(outputs[-1]), feature_health(stem)
    return {
        "std_batch": health.std_batch,
        "std_time": health.std_time,
        "std_lowest": health.std_lowest,
        "rank_encoder": health.rank,
        "rank_stem": front.rank,
        "rank_teacher": health.rank,
    }


def _probe(config: StudyConfig, scale: Scale, console: Console) -> None:
    """Probe every final encoder and the untrained one for speaker and phoneme, unless it is done."""
    out = config.out / "probes"
    paths = [
        str(_folder(config.out, arm, seed) / CHECKPOINT)
        for seed in range(scale.seeds)
        for arm in scale.chosen
    ]
    twins = [f"random:{paths[0]}"]
    done = out / "results.csv"
    if done.exists() and len(set(pd.read_csv(done)["encoder"].dropna())) == len(paths + twins):
        return
    run(
        RunConfig(
            encoder=(*paths, *twins),
            task=("speaker", "phoneme"),
            analysis=("none",),
            diagnostic=("none",),
            degrade=("none",),
            baselines=False,
            corpus=config.corpus,
            limit=scale.clips,
            device=config.device,
            cache=config.cache,
            out=out,
        ),
        console,
    )
