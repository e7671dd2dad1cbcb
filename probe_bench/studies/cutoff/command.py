"""`study`: pretrain the arms of a plan, measure them, and write tables, figure and report."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from rich.console import Console

from probe_bench.cache import default_root
from probe_bench.config import RunConfig, StudyConfig
from probe_bench.corpora import load_corpora
from probe_bench.folders import make_folder
from probe_bench.gather import pick_device
from probe_bench.reports.cutoff_figures import draw_study
from probe_bench.reports.cutoff_text import console_table, write_report
from probe_bench.studies.cutoff.findings import (
    contrast_table,
    cutoff_by_span,
    line_table,
    score_table,
)
from probe_bench.studies.cutoff.plans import BASE, PLANS, Arm, Plan
from probe_bench.studies.cutoff.predictability import Curve, compare_rivals, predictability
from probe_bench.studies.cutoff.scales import SCALES, Scale
from probe_bench.studies.cutoff.table import gap_table, study_table
from probe_bench.studies.cutoff.training import Training
from probe_bench.studies.cutoff.work import TONES, do_all, load_source, places

__all__ = ["cutoff"]

_SPEECH = ("speech-pretrain",)


def cutoff(config: StudyConfig) -> int:
    """Do a study of the cutoff."""
    console, plan = Console(), PLANS[config.what]
    out, scale = make_folder(config.out), SCALES[config.scale]
    if config.seeds is not None:
        scale = dataclasses.replace(scale, seeds=config.seeds)
    trainings = _trainings(plan.arms(scale), scale, config)
    for training in trainings:
        training.refuse_another()
    at = places(pick_device(config.device), config.workers)
    console.print(f"{len(trainings)} encoders to pretrain and measure, {len(at)} at once")
    measured = RunConfig(corpus=config.corpus, device=config.device, cache=config.cache)
    do_all(list(trainings), at, measured, _root(config), console)
    for what, table in _tables(plan, trainings, _root(config)).items():
        name = "-".join(filter(None, (plan.name, what)))
        table.to_csv(out / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    figure, report = draw_study(out, plan.name), write_report(out, plan.name, plan.question)
    console.print(console_table(out, plan.name))
    console.print(f"figure: {figure}", soft_wrap=True)
    console.print(f"report: {report}", soft_wrap=True)
    return 0


def _tables(
    plan: Plan, trainings: Mapping[Training, Arm], root: Path
) -> Mapping[str, pd.DataFrame]:
    """Everything that is written, by the ending of its name."""
    table = study_table(trainings)
    found = {"": table, "gaps": gap_table(trainings)}
    if not plan.turns_span:
        return found | {"contrasts": contrast_table(table)}
    found |= {"lines": line_table(table), "scores": score_table(table)}
    curves = _curves(next(iter(trainings)), table, root)
    found["predictability"] = pd.DataFrame(
        {"span_ms": 1000 * curve.span_s, "mod_freq_hz": hz, "r2": r2}
        for curve in curves
        for hz, r2 in zip(curve.mod_freq_hz, curve.r2, strict=True)
    )
    cutoffs = cutoff_by_span(table, "support_hz")
    if len(cutoffs) == len(curves):
        found["rivals"] = pd.DataFrame([dataclasses.asdict(compare_rivals(cutoffs, curves))])
    return found


def _curves(first: Training, table: pd.DataFrame, root: Path) -> list[Curve]:
    """Predictability of the training audio across gaps of every span."""
    source = load_source(
        first.knobs.audio, first.audio, root, crop_samples=first.recipe.crop_samples
    )
    spans_ms = table.loc[table["group"] == BASE, "span_ms"].unique()
    return predictability(source, [float(span_ms) / 1000 for span_ms in sorted(spans_ms)])


def _root(config: StudyConfig) -> Path:
    return config.cache or default_root()


def _trainings(arms: tuple[Arm, ...], scale: Scale, config: StudyConfig) -> dict[Training, Arm]:
    """List every training once, all arms of a seed before the next seed."""
    audio = config.audio or (TONES if config.scale == "smoke" else _SPEECH)
    if audio != TONES:
        load_corpora(audio, _root(config))  # synthesised once, before workers ask for them
    load_corpora(config.corpus, _root(config))
    found = {}
    for seed in range(scale.seeds):
        for arm in arms:
            training = Training(
                knobs=arm.knobs,
                seed=seed,
                scale=scale,
                root=config.out / "trainings",
                audio=audio,
            )
            found[training] = arm
    return found
