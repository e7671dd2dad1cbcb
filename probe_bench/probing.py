"""The probes as a stage of a run: every encoder on every task, what its scores mean, and the tests."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from probe_bench import screen
from probe_bench.contrasts import Scored, contrasts
from probe_bench.degraded import DegradedTest
from probe_bench.diagnostics.diagnose import Diagnosis, diagnose
from probe_bench.diagnostics.plan import Plan, make_plan
from probe_bench.evaluate import Evaluation, chance_scores, evaluate
from probe_bench.features import Features, Subset
from probe_bench.gather import Workshop
from probe_bench.jobs import Job
from probe_bench.ledger import Stage
from probe_bench.lineup import Contestant
from probe_bench.parallel import side_by_side
from probe_bench.probes.config import ProbeConfig
from probe_bench.results import (
    Stamp,
    chance_rows,
    task_rows,
    weight_rows,
    write_confusions,
    write_predictions,
)
from probe_bench.robustness import Robustness, chance_areas, robustness
from probe_bench.rows import Comparison, Row
from probe_bench.scoring import Score

__all__ = ["Probing"]


@dataclass(frozen=True, kw_only=True)
class Probing:
    """Probes all tasks of a run; notes and comparisons gather on the way.

    Attributes:
        contestants: Every encoder.
        features: By encoder and corpus, or encoder and name of a degraded part.
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
        self.notes.update(dict.fromkeys(self._untried()))
        bouts = [_Bout(self, job) for job in jobs]
        entries = [(bout, contestant) for bout in bouts for contestant in self.contestants]
        with screen.progress(self.shop.console) as bar:
            progress = bar.add_task("probe", total=len(entries))

            def enter(bout: _Bout, contestant: Contestant) -> _Outcome:
                say = partial(bar.update, progress)
                outcome = bout.enter(contestant, lambda what: say(description=what))
                bar.advance(progress)
                return outcome

            found = side_by_side([partial(enter, *entry) for entry in entries], self.shop.device)
        for k, bout in enumerate(bouts):
            n = len(self.contestants)
            yield from bout.rows(found[k * n : (k + 1) * n])

    def _untried(self) -> Iterator[str]:
        """Say which contestants cannot hear degraded audio, if any is asked for."""
        for contestant in self.contestants if self.tests_under else ():
            if not contestant.encoder:
                yield f"{contestant.name} not tried on degraded audio, it is a folder of features"


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What one encoder did on one task.

    Attributes:
        notes: What the reader of its scores should know.
        rows: Result rows.
        scores: Scores that encoders and layers are compared by.
        areas: The same over degraded audio.
    """

    notes: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    scores: tuple[Score, ...] = ()
    areas: tuple[Score, ...] = ()


class _Bout:
    """All encoders on one task."""

    def __init__(self, probing: Probing, job: Job) -> None:
        self._all, self._job = probing, job
        self._names = (job.task.name, job.corpus.name)
        self._under = [test for test in probing.tests_under if test.job is job]
        self._chance = chance_scores(job.task, job.corpus, job.folds, probing.stamp.seed)
        self._plan = self._make_plan()

    def _make_plan(self) -> Plan:
        """Prepare what the diagnostics of all encoders share."""
        job = self._job
        layers = [layer for contestant in self._all.contestants for layer in contestant.layers]
        with self._all.shop.ledger.time("diagnose", corpus=job.corpus.name, task=job.task.name):
            return make_plan(
                *(job.task, job.corpus, job.folds, layers, self._all.diagnostics),
                seed=self._all.stamp.seed,
            )

    def rows(self, outcomes: Sequence[_Outcome]) -> Iterator[Row]:
        """Put together what all encoders did: rows, notes and comparisons."""
        stamp, contestants = self._all.stamp, self._all.contestants
        self._note(note for fold in self._job.folds for note in fold.notes)
        self._note(self._plan.notes)
        yield from chance_rows(self._chance, *self._names, stamp)
        scored = [Scored(contestant=None, scores=self._chance)]
        degradations = [test.degradation for test in self._under]
        areas = [Scored(contestant=None, scores=list(chance_areas(self._chance, degradations)))]
        for contestant, outcome in zip(contestants, outcomes, strict=True):
            self._note(outcome.notes)
            yield from outcome.rows
            if outcome.scores:
                scored.append(Scored(contestant=contestant, scores=outcome.scores))
            if outcome.areas:
                areas.append(Scored(contestant=contestant, scores=outcome.areas))
        self._all.comparisons.extend(contrasts(scored, *self._names, stamp))
        self._all.comparisons.extend(contrasts(areas, *self._names, stamp))

    def enter(self, contestant: Contestant, say: Callable[[str], None]) -> _Outcome:
        """Score one encoder and write its predictions; shares no state with other encoders."""
        if self._job.task.unit == "frame" and not contestant.has_frames:
            return _Outcome(notes=(contestant.frameless,))
        task, corpus = self._names
        own = Subset(self._all.features[contestant.name, corpus], self._job.clips)
        say(f"probe {task} by {contestant.name}")
        found = self._evaluate(contestant, own)
        said = (found.predictions, contestant.name, *self._names)
        write_predictions(*said, self._all.out / "predictions")
        write_confusions(*said, self._all.out / "confusions")
        if self._all.diagnostics:
            say(f"diagnose {task} by {contestant.name}")
        with self._time("diagnose", contestant):
            meaning = diagnose(self._plan, own, found.scores)
        robust = self._robustness(found)
        return _Outcome(
            notes=found.notes,
            rows=tuple(self._rows(contestant, found, meaning, robust)),
            scores=(*found.scores, *meaning.tested),
            areas=tuple(robust.picked) if robust else (),
        )

    def _rows(
        self,
        contestant: Contestant,
        found: Evaluation,
        meaning: Diagnosis,
        robust: Robustness | None,
    ) -> Iterator[Row]:
        where = (contestant, *self._names, self._all.stamp)
        yield from task_rows(found.scores, *where)
        yield from weight_rows(found.predictions, *where)
        yield from task_rows(meaning.test, *where)
        yield from task_rows(meaning.train, *where, split="train")
        for split, scores in robust.scores.items() if robust else ():
            yield from task_rows(scores, *where, split=split)

    def _evaluate(self, contestant: Contestant, own: Features) -> Evaluation:
        """Fit all probes on clean audio; read them on it and on degraded test clips."""
        job, further = self._job, []
        if contestant.encoder:
            features = self._all.features
            further = [
                test.numbered({p.name: features[contestant.name, p.name] for p in test.parts})
                for test in self._under
            ]
        with self._time("probe", contestant):
            return evaluate(
                *(job.task, job.corpus, job.folds, own, self._all.stamp.seed),
                config=self._all.config,
                further=further,
            )

    def _robustness(self, found: Evaluation) -> Robustness | None:
        """Say how the scores fall with degraded audio, if any was read."""
        if not found.further:
            return None
        degradations = [test.degradation for test in self._under]
        pairs = list(zip(degradations, found.further, strict=True))
        return robustness(found.scores, pairs, self._chance)

    def _time(self, stage: str, contestant: Contestant) -> AbstractContextManager[Stage]:
        task, corpus = self._names
        return self._all.shop.ledger.time(stage, encoder=contestant.name, corpus=corpus, task=task)

    def _note(self, notes: Iterable[str]) -> None:
        """Say of each note which task it is about."""
        task, corpus = self._names
        self._all.notes.update({f"{task} on {corpus}: {note}": None for note in notes})
