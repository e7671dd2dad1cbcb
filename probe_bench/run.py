"""One run: corpora, features, probes and analyses, and the folder they are written to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from probe_bench import screen
from probe_bench.agenda import Agenda, make_agenda
from probe_bench.budget import probing_seconds, rippling_seconds
from probe_bench.cache import Cache, default_root
from probe_bench.config import RunConfig
from probe_bench.degradations import named_kinds
from probe_bench.degraded import degraded_tests
from probe_bench.errors import DivisionError, UserError
from probe_bench.folders import make_folder
from probe_bench.gather import Workshop, pick_device
from probe_bench.geometry.stage import map_geometry
from probe_bench.jobs import Job, divide
from probe_bench.leaks.parts import PartLeaks
from probe_bench.leaks.stage import find_leaks
from probe_bench.leaks.table import write_leaks
from probe_bench.ledger import Ledger
from probe_bench.lineup import Contestant, line_up
from probe_bench.modulation.stage import measure_modulation
from probe_bench.probes.config import ProbeConfig
from probe_bench.probing import Probing
from probe_bench.protocols.published import beside
from probe_bench.protocols.stage import Replication
from probe_bench.record import describe, digest
from probe_bench.results import Stamp
from probe_bench.rows import Comparison, Row, write_beside, write_comparisons, write_rows
from probe_bench.survey import Survey

__all__ = ["run"]


@dataclass(frozen=True, kw_only=True)
class _Material:
    """What a run measures.

    Attributes:
        contestants: Every encoder.
        agenda: What is asked of them.
        surveys: Corpora, looked over.
        jobs: Tasks with their divided clips.
        leaks: Audio that parts share.
        notes: What was left out.
    """

    contestants: list[Contestant]
    agenda: Agenda
    surveys: dict[str, Survey]
    jobs: list[Job]
    leaks: PartLeaks
    notes: tuple[str, ...]


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
    kinds = named_kinds(config.degrade)
    make_folder(config.out)  # before any work: it may not be writable
    shop = Workshop(
        cache=Cache(config.cache or default_root()),
        device=pick_device(config.device),
        dtype=config.dtype,
        console=console,
        ledger=Ledger(),
    )
    found = _collect(config, shop)
    probes = ProbeConfig(max_train_frames=config.train_frames or None, scratch=shop.cache.root)
    n_degradations = sum(len(kind.severities) for kind in kinds)
    console.print(screen.probing(_expected_s(found, probes, shop, n_degradations)))
    tests_under = degraded_tests(kinds, found.jobs, found.surveys, config.seed)
    parts = {part.name: part for test in tests_under for part in test.parts}
    features = shop.gather(
        found.contestants,
        found.surveys | {name: part.survey for name, part in parts.items()},
        {name for name in found.surveys if found.agenda.needs_frames(name)}
        | {name for name, part in parts.items() if part.needs_frames},
    )
    run_id = digest(config, found.contestants, found.surveys)
    stamp = Stamp(run_id=run_id, seed=config.seed)
    out, agenda = _fresh(config.out), found.agenda
    notes = dict.fromkeys(found.notes)  # a set that keeps its order
    probing = Probing(
        contestants=found.contestants, features=features, tests_under=tests_under,
        diagnostics=agenda.diagnostics, config=probes, stamp=stamp, shop=shop, out=out, notes=notes,
    )  # fmt: skip
    replication = Replication(
        protocols=agenda.protocols, contestants=found.contestants, features=features,
        stamp=stamp, shop=shop, out=out, notes=notes,
    )  # fmt: skip
    analysed = (found.contestants, found.surveys, features, stamp, shop, notes)
    rows = [
        *probing.rows(found.jobs),
        *replication.rows(found.jobs),
        *measure_modulation(agenda.analysed("modulation"), *analysed, controls=config.controls),
        *map_geometry(agenda.analysed("geometry"), *analysed),
    ]
    comparisons = [*probing.comparisons, *replication.comparisons]
    _write(config, found, run_id, rows, comparisons, tuple(notes), shop, out)
    return out


def _collect(config: RunConfig, shop: Workshop) -> _Material:
    """Load encoders and corpora, look at every clip, and divide the tasks."""
    with shop.ledger.time("prepare"), shop.console.status("loading encoders and corpora"):
        contestants = line_up(
            config.encoder,
            seed=config.seed,
            baselines=config.baselines,
            trust_code=config.trust_code,
        )
        agenda = make_agenda(config, shop.cache.root)
    surveys = shop.look_over(
        agenda.corpora, contestants, skip_bad=config.skip_bad, fingerprints=bool(agenda.tasks)
    )
    jobs, undivided = _divide(agenda, surveys, config)
    leaks = find_leaks(jobs, surveys, shop, refuse=config.refuse_leaks)
    return _Material(
        contestants=contestants,
        agenda=agenda,
        surveys=surveys,
        jobs=jobs,
        leaks=leaks,
        notes=(*agenda.notes, *undivided),
    )


def _divide(
    agenda: Agenda, surveys: Mapping[str, Survey], config: RunConfig
) -> tuple[list[Job], list[str]]:
    """Divide the clips of every task; tasks that nobody named may be left out, with a note."""
    jobs, notes = [], []
    for task, name in agenda.tasks:
        try:
            jobs.append(divide(task, surveys[name].corpus, config.seed))
        except DivisionError as error:
            if config.task:
                raise
            notes.append(f"task {task.name} on {name} left out: {error}")
    if notes and not jobs and not agenda.analyses:
        raise UserError(notes[0])
    return jobs, notes


def _expected_s(
    found: _Material, probes: ProbeConfig, shop: Workshop, n_degradations: int
) -> float:
    """Estimate the time of everything but encoding the corpora."""
    agenda = found.agenda
    analyses = [(analysis, found.surveys[name].corpus) for analysis, name in agenda.analyses]
    probing_s = probing_seconds(
        *(found.jobs, analyses, found.contestants, shop.device, probes),
        diagnostics=agenda.diagnostics,
        protocols=agenda.protocols,
        n_degradations=n_degradations,
    )
    n_rippled = len(agenda.analysed("modulation"))
    return probing_s + rippling_seconds(n_rippled, found.contestants, shop.device)


def _write(
    config: RunConfig,
    found: _Material,
    run_id: str,
    rows: Sequence[Row],
    comparisons: Sequence[Comparison],
    notes: tuple[str, ...],
    shop: Workshop,
    out: Path,
) -> None:
    """Write the tables and the record of a run, and show its notes."""
    write_rows(rows, out / "results.csv")
    write_comparisons(comparisons, out / "comparisons.csv")
    corpora = {name: looked.corpus for name, looked in found.surveys.items()}
    write_beside(beside(rows, corpora, run_id), out / "published.csv")
    write_leaks(found.leaks.leaks, out / "leaks.csv")
    for note in notes:
        shop.console.print(f"note: {note}", markup=False, highlight=False)
    protocols = found.agenda.protocols
    record = describe(
        *(config, run_id, found.contestants, found.surveys, found.jobs, protocols, notes, shop)
    )
    record["leaks"] = found.leaks.record()
    (out / "run.json").write_text(json.dumps(record, indent=1) + "\n")


def _fresh(out: Path) -> Path:
    """Clear what an earlier run left in the folder."""
    for folder in ("predictions", "confusions"):
        (out / folder).mkdir(exist_ok=True)
    names = ("results.csv", "comparisons.csv", "published.csv", "leaks.csv", "run.json")
    tables = [out / name for name in names]
    units = [*(out / "predictions").glob("*.csv.gz"), *(out / "confusions").glob("*.csv")]
    for old in [*units, *tables]:
        old.unlink(missing_ok=True)
    return out
