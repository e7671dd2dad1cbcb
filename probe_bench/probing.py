"""The probes as a stage of a run: every encoder on every task, what its scores mean, and the tests."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from probe_bench import screen
from probe_bench.contrasts import Scored, contrasts
from probe_bench.degraded import DegradedTest
from probe_bench.diagnostics.diagnose import diagnose
from probe_bench.diagnostics.plan import Plan, make_plan
from probe_bench.evaluate import Evaluation, chance_scores, evaluate
from probe_bench.features import Features, Subset
from probe_bench.gather import Workshop
from probe_bench.jobs import Job
from probe_bench.ledger import Stage
from probe_bench.lineup import Contestant
from probe_bench.probes.config import ProbeConfig
from probe_bench.results import (
    Stamp,
    chance_rows,
    task_rows,
    weight_rows,
    write_confusions,
    write_predictions,
)
from probe_bench.robustness import chance_areas, robustness
from probe_bench.rows import Comparison, Row
from probe_bench.scoring import Score

__all__ = ["Probing"]


@dataclass(frozen=True, kw_only=True)
class Probing:
    """Probes all tasks of a run; notes and comparisons gather on the way.

    Attributes:
        contestants: Every encoder.
        features: By encoder and corpus, or encoder and name of a degraded test.
        tests_under: Degraded test clips of the tasks.
        diagnostics: Names.
        config: Strengths and sizes of the probes.
        stamp: What every row carries.
        shop: Where it works.
        out: Folder of the run; `predictions` and `confusions` in it receive what the probes said.
        notes: What the reader of the scores should know (a set that keeps its order).
        comparisons: Paired tests.
    """

    contestants: Sequence[Contestant]
    features: Mapping[tuple[str, str], Features]
    tests_under: Collection[DegradedTest]
    diagnostics: Sequence[str]
    config: ProbeConfig
    stamp: Stamp
    shop: Workshop
    out: Path
    notes: dict[str, None]
    comparisons: list[Comparison] = field(default_factory=list)

    def rows(self, jobs: Sequence[Job]) -> Iterator[Row]:
        """Score every encoder on every task, write its predictions, and test the differences."""
        if not jobs:
            return
        with screen.progress(self.shop.console) as bar:
            progress = bar.add_task("probe", total=len(jobs) * len(self.contestants))
            for job in jobs:

                def say(what: str, encoder: str, task: str = job.task.name) -> None:
                    bar.update(progress, description=f"{what} {task} by {encoder}")

                yield from _Bout(self, job, say).rows(lambda: bar.advance(progress))


class _Bout:
    """All encoders on one task."""

    def __init__(self, probing: Probing, job: Job, say: Callable[[str, str], None]) -> None:
        self._all, self._job, self._say = probing, job, say
        self._names = (job.task.name, job.corpus.name)
        self._under = [test for test in probing.tests_under if test.job is job]

    def rows(self, advance: Callable[[], None]) -> Iterator[Row]:
        job, stamp = self._job, self._all.stamp
        self._note(note for fold in job.folds for note in fold.notes)
        chance = chance_scores(job.task, job.corpus, job.folds, stamp.seed)
        yield from chance_rows(chance, *self._names, stamp)
        plan = self._plan()
        degradations = [test.degradation for test in self._under]
        scored = [Scored(contestant=None, scores=chance)]
        areas = [Scored(contestant=None, scores=list(chance_areas(chance, degradations)))]
        for contestant in self._all.contestants:
            if job.task.unit == "frame" and not contestant.has_frames:
                self._note([contestant.frameless])
            else:
                yield from self._contestant(contestant, plan, chance, scored, areas)
            advance()
        self._all.comparisons.extend(contrasts(scored, *self._names, stamp))
        self._all.comparisons.extend(contrasts(areas, *self._names, stamp))

    def _plan(self) -> Plan:
        """Prepare what the diagnostics of all encoders share."""
        job = self._job
        layers = [layer for contestant in self._all.contestants for layer in contestant.layers]
        with self._all.shop.ledger.time("diagnose", corpus=job.corpus.name, task=job.task.name):
            plan = make_plan(
                *(job.task, job.corpus, job.folds, layers, self._all.diagnostics),
                seed=self._all.stamp.seed,
            )
        self._note(plan.notes)
        return plan

    def _contestant(
        self,
        contestant: Contestant,
        plan: Plan,
        chance: Sequence[Score],
        scored: list[Scored],
        areas: list[Scored],
    ) -> Iterator[Row]:
        """Score one encoder, and add what is compared to `scored` and `areas`."""
        where = (contestant, *self._names, self._all.stamp)
        own = Subset(self._all.features[contestant.name, self._names[1]], self._job.clips)
        found = self._evaluate(contestant, own)
        self._note(found.notes)
        yield from task_rows(found.scores, *where)
        yield from weight_rows(found.predictions, *where)
        said = (found.predictions, contestant.name, *self._names)
        write_predictions(*said, self._all.out / "predictions")
        write_confusions(*said, self._all.out / "confusions")
        self._say("diagnose", contestant.name)
        with self._time("diagnose", contestant):
            meaning = diagnose(plan, own, found.scores)
        yield from task_rows(meaning.test, *where)
        yield from task_rows(meaning.train, *where, split="train")
        scored.append(Scored(contestant=contestant, scores=[*found.scores, *meaning.tested]))
        if found.further:
            degradations = [test.degradation for test in self._under]
            pairs = list(zip(degradations, found.further, strict=True))
            robust = robustness(found.scores, pairs, chance)
            for split, scores in robust.scores.items():
                yield from task_rows(scores, *where, split=split)
            areas.append(Scored(contestant=contestant, scores=robust.picked))

    def _evaluate(self, contestant: Contestant, own: Features) -> Evaluation:
        """Fit all probes on clean audio; read them on it and on degraded test clips."""
        job, further = self._job, []
        if contestant.encoder:
            further = [
                test.numbered(self._all.features[contestant.name, test.name])
                for test in self._under
            ]
        elif self._under:
            note = f"{contestant.name} not tried on degraded audio, it is a folder of features"
            self._note([note])
        self._say("probe", contestant.name)
        with self._time("probe", contestant):
            return evaluate(
                *(job.task, job.corpus, job.folds, own, self._all.stamp.seed),
                config=self._all.config,
                further=further,
            )

    def _time(self, stage: str, contestant: Contestant) -> AbstractContextManager[Stage]:
        task, corpus = self._names
        return self._all.shop.ledger.time(stage, encoder=contestant.name, corpus=corpus, task=task)

    def _note(self, notes: Iterable[str]) -> None:
        """Say of each note which task it is about."""
        task, corpus = self._names
        self._all.notes.update({f"{task} on {corpus}: {note}": None for note in notes})
