"""One run: corpora, features, probes and analyses, and the folder they are written to."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from probe_bench import screen
from probe_bench.agenda import Agenda, make_agenda
from probe_bench.budget import probing_seconds
from probe_bench.cache import Cache, default_root
from probe_bench.config import RunConfig
from probe_bench.contrasts import Scored, contrasts
from probe_bench.diagnostics.diagnose import diagnose
from probe_bench.diagnostics.plan import make_plan
from probe_bench.evaluate import chance_scores, evaluate
from probe_bench.features import Features, Subset
from probe_bench.folders import make_folder
from probe_bench.gather import Workshop, pick_device
from probe_bench.jobs import Job, divide
from probe_bench.ledger import Ledger
from probe_bench.lineup import Contestant, line_up
from probe_bench.modulation.analysis import measure
from probe_bench.modulation.reference import Reference
from probe_bench.record import describe, digest
from probe_bench.results import Stamp, chance_rows, modulation_rows, task_rows, write_predictions
from probe_bench.rows import Comparison, Row, write_comparisons, write_rows
from probe_bench.survey import Survey

__all__ = ["run"]


def run(config: RunConfig, console: Console) -> Path:
    """Do everything that a configuration asks for.

    Args:
        config: What to run.
        console: Where progress is shown.

    Returns:
        The run's folder, with `results.csv`, `predictions/` and `run.json`.

    Raises:
        UserError: If something that was asked for cannot be had; nothing cached is lost.
    """
    make_folder(config.out)  # before any work: it may not be writable
    shop = Workshop(
        cache=Cache(config.cache or default_root()),
        device=pick_device(config.device),
        dtype=config.dtype,
        console=console,
        ledger=Ledger(),
    )
    with shop.ledger.time("prepare"), console.status("loading encoders and corpora"):
        contestants = line_up(
            config.encoder,
            seed=config.seed,
            baselines=config.baselines,
            trust_code=config.trust_code,
        )
        agenda = make_agenda(config, shop.cache.root)
    surveys = shop.look_over(agenda.corpora, contestants, skip_bad=config.skip_bad)
    jobs = [divide(task, surveys[name].corpus, config.seed) for task, name in agenda.tasks]
    measured = [surveys[name].corpus for _, name in agenda.analyses]
    expected_s = probing_seconds(jobs, measured, contestants, shop.device, agenda.diagnostics)
    console.print(screen.probing(expected_s))
    features = shop.gather(contestants, surveys, agenda.needs_frames)
    run_id = digest(config, contestants, surveys)
    stamp = Stamp(run_id=run_id, seed=config.seed)
    out = _fresh(config.out)
    notes: dict[str, None] = {}  # a set that keeps its order
    tests: list[Comparison] = []
    rows = [
        *_probe(agenda, jobs, contestants, features, stamp, shop, notes, tests, out),
        *_analyse(agenda, contestants, surveys, features, stamp, shop, notes),
    ]
    write_rows(rows, out / "results.csv")
    write_comparisons(tests, out / "comparisons.csv")
    for note in notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    record = describe(config, run_id, contestants, surveys, jobs, tuple(notes), shop)
    (out / "run.json").write_text(json.dumps(record, indent=1) + "\n")
    return out


def _fresh(out: Path) -> Path:
    """Clear what an earlier run left in the folder."""
    (out / "predictions").mkdir(exist_ok=True)
    tables = [out / name for name in ("results.csv", "comparisons.csv", "run.json")]
    for old in [*(out / "predictions").glob("*.csv.gz"), *tables]:
        old.unlink(missing_ok=True)
    return out


def _probe(
    agenda: Agenda,
    jobs: Sequence[Job],
    contestants: Sequence[Contestant],
    features: Mapping[tuple[str, str], Features],
    stamp: Stamp,
    shop: Workshop,
    notes: dict[str, None],
    tests: list[Comparison],
    out: Path,
) -> Iterator[Row]:
    """Score every encoder on every task, write its predictions, and test the differences."""
    if not jobs:
        return
    with screen.progress(shop.console) as bar:
        progress = bar.add_task("probe", total=len(jobs) * len(contestants))
        for job in jobs:
            names = (job.task.name, job.corpus.name)
            notes.update(_said(job, (note for fold in job.folds for note in fold.notes)))
            chance = chance_scores(job.task, job.corpus, job.folds, stamp.seed)
            yield from chance_rows(chance, *names, stamp)
            scored = [Scored(contestant=None, scores=chance)]
            layers = [layer for each in contestants for layer in each.layers]
            with shop.ledger.time("diagnose", corpus=job.corpus.name, task=job.task.name):
                plan = make_plan(
                    *(job.task, job.corpus, job.folds, layers, agenda.diagnostics), seed=stamp.seed
                )
            notes.update(_said(job, plan.notes))
            for contestant in contestants:
                bar.update(progress, description=f"probe {job.task.name} by {contestant.name}")
                if job.task.unit == "frame" and not contestant.has_frames:
                    notes.update(_said(job, [_frameless(contestant)]))
                    bar.advance(progress)
                    continue
                own = Subset(features[contestant.name, job.corpus.name], job.clips)
                with shop.ledger.time(
                    "probe", encoder=contestant.name, corpus=job.corpus.name, task=job.task.name
                ):
                    found = evaluate(job.task, job.corpus, job.folds, own, stamp.seed)
                notes.update(_said(job, found.notes))
                yield from task_rows(found.scores, contestant, *names, stamp)
                bar.update(progress, description=f"diagnose {job.task.name} by {contestant.name}")
                with shop.ledger.time(
                    "diagnose", encoder=contestant.name, corpus=job.corpus.name, task=job.task.name
                ):
                    meaning = diagnose(plan, own, found.scores)
                yield from task_rows(meaning.test, contestant, *names, stamp)
                yield from task_rows(meaning.train, contestant, *names, stamp, split="train")
                scored.append(
                    Scored(contestant=contestant, scores=[*found.scores, *meaning.tested])
                )
                write_predictions(found.predictions, contestant.name, *names, out / "predictions")
                bar.advance(progress)
            tests += contrasts(scored, *names, stamp)


def _said(job: Job, notes: Iterable[str]) -> dict[str, None]:
    """Say of each note which task it is about."""
    return {f"{job.task.name} on {job.corpus.name}: {note}": None for note in notes}


def _frameless(contestant: Contestant) -> str:
    return f"{contestant.name} left out, it has one vector a clip and no frames"


def _analyse(
    agenda: Agenda,
    contestants: Sequence[Contestant],
    surveys: Mapping[str, Survey],
    features: Mapping[tuple[str, str], Features],
    stamp: Stamp,
    shop: Workshop,
    notes: dict[str, None],
) -> Iterator[Row]:
    """Measure how fast every layer may change."""
    if not agenda.analyses:
        return
    with screen.progress(shop.console) as bar:
        progress = bar.add_task("modulation", total=len(agenda.analyses) * len(contestants))
        for _, name in agenda.analyses:
            reference = Reference(surveys[name].corpus)
            for contestant in contestants:
                bar.update(progress, description=f"modulation of {contestant.name}")
                if not contestant.has_frames:
                    notes[f"modulation on {name}: {_frameless(contestant)}"] = None
                    bar.advance(progress)
                    continue
                with shop.ledger.time("modulation", encoder=contestant.name, corpus=name):
                    found = measure(features[contestant.name, name], reference, seed=stamp.seed)
                yield from modulation_rows(found, contestant, name, stamp)
                bar.advance(progress)
