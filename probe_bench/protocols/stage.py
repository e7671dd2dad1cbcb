"""Protocols as a stage of a run: every encoder by every protocol on every task that it has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from probe_bench import screen
from probe_bench.chance import chance_scores
from probe_bench.contrasts import Scored, contrasts
from probe_bench.features import Features, Subset
from probe_bench.gather import Workshop
from probe_bench.jobs import Job
from probe_bench.lineup import Contestant
from probe_bench.parallel import side_by_side
from probe_bench.protocols.clips import read_clips
from probe_bench.protocols.labels import as_classes, learnable, metric_of, verifies
from probe_bench.protocols.pairs import read_pairs
from probe_bench.protocols.phones import read_phones
from probe_bench.protocols.protocol import Protocol
from probe_bench.results import Stamp, chance_rows, task_rows, weight_rows, write_predictions
from probe_bench.rows import Comparison, Row
from probe_bench.scoring import Predictions, Score, score
from probe_bench.task import Measure, Metric, ProbeName

__all__ = ["Replication"]


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What one encoder did by one protocol on one task.

    Attributes:
        notes: What the reader of its scores should know.
        rows: Result rows.
        scores: Scores that encoders are compared by.
    """

    notes: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    scores: tuple[Score, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Replication:
    """Runs protocols on the tasks of a run; notes and comparisons gather on the way.

    Attributes:
        protocols: Which.
        contestants: Every encoder.
        features: By encoder and corpus.
        stamp: What every row carries.
        shop: Where it works.
        out: Folder of the run; `predictions` in it receives what the heads said.
        notes: What the reader of the scores should know (a set that keeps its order).
        comparisons: Paired tests.
    """

    protocols: Sequence[Protocol]
    contestants: Sequence[Contestant]
    features: Mapping[tuple[str, str], Features]
    stamp: Stamp
    shop: Workshop
    out: Path
    notes: dict[str, None]
    comparisons: list[Comparison] = field(default_factory=list)

    def rows(self, jobs: Sequence[Job]) -> Iterator[Row]:
        """Score every encoder by every protocol on every task, and test the differences."""
        if not self.protocols:
            return
        rounds = [(protocol, job) for job in jobs for protocol in self.protocols]
        entries = [(*each, contestant) for each in rounds for contestant in self.contestants]
        with screen.progress(self.shop.console) as bar:
            progress = bar.add_task("protocols", total=len(entries))

            def enter(protocol: Protocol, job: Job, contestant: Contestant) -> _Outcome:
                what = f"{protocol.name} {job.task.name} by {contestant.name}"
                bar.update(progress, description=what)
                outcome = self._enter(protocol, job, contestant)
                bar.advance(progress)
                return outcome

            found = side_by_side([partial(enter, *entry) for entry in entries], self.shop.device)
        outcomes = {
            (protocol.name, id(job), contestant.name): outcome
            for (protocol, job, contestant), outcome in zip(entries, found, strict=True)
        }
        for job in jobs:
            chance = _chance(job, self.stamp.seed)
            names = (job.task.name, job.corpus.name)
            yield from chance_rows(_new(chance, job), *names, self.stamp)
            for protocol in self.protocols:
                scored = [Scored(contestant=None, scores=chance)]
                for contestant in self.contestants:
                    outcome = outcomes[protocol.name, id(job), contestant.name]
                    self._note(job, protocol, outcome.notes)
                    yield from outcome.rows
                    if outcome.scores:
                        scored.append(Scored(contestant=contestant, scores=outcome.scores))
                self.comparisons.extend(contrasts(scored, *names, self.stamp))

    def _enter(self, protocol: Protocol, job: Job, contestant: Contestant) -> _Outcome:
        """Score one encoder and write its predictions; shares no state with other encoders."""
        reason = _unfit(protocol, job, contestant)
        if reason:
            return _Outcome(notes=(reason,))
        names = (job.task.name, job.corpus.name)
        found = self._read(protocol, job, contestant)
        if not found:
            return _Outcome(notes=(_nothing(job),))
        scores = tuple(
            each
            for predictions in found
            for each in score(
                predictions,
                _metrics(job),
                corpus=job.corpus.name,
                task=job.task.name,
                seed=self.stamp.seed,
            )
        )
        where = (contestant, *names, self.stamp)
        write_predictions(found, contestant.name, *names, self.out / "predictions")
        return _Outcome(
            notes=tuple(f"{made.probe}: {note}" for made in found for note in made.notes),
            rows=(*task_rows(scores, *where), *weight_rows(found, *where)),
            scores=scores,
        )

    def _read(self, protocol: Protocol, job: Job, contestant: Contestant) -> list[Predictions]:
        """Return what the variants of a protocol predict."""
        task, corpus = job.task, job.corpus
        own = Subset(self.features[contestant.name, corpus.name], job.clips)
        where = {"encoder": contestant.name, "corpus": corpus.name, "task": task.name}
        with self.shop.ledger.time(protocol.name, **where):
            if task.label == "phones":
                return read_phones(protocol, task, corpus, job.folds, own)
            if verifies(task):
                return read_pairs(protocol, task, corpus, job.folds, own)
            return read_clips(protocol, task, corpus, job.folds, own, seed=self.stamp.seed)

    def _note(self, job: Job, protocol: Protocol, notes: Iterable[str]) -> None:
        """Say of each note what it is about."""
        about = f"{job.task.name} on {job.corpus.name}: protocol {protocol.name}"
        self.notes.update({f"{about}: {note}": None for note in notes})


def _unfit(protocol: Protocol, job: Job, contestant: Contestant) -> str:
    """Say why a protocol cannot read a task, or nothing."""
    task = job.task
    if task.label == "phones":
        if not protocol.phones:
            return "it has no task that reads phones"
        return "" if contestant.has_frames else contestant.frameless
    if verifies(task) and protocol.pairs:
        return "" if contestant.has_frames else contestant.frameless
    if learnable(task):
        return ""
    if task.unit == "frame":
        return "it has no task whose units are frames"
    return "it has no head for classes that training has not heard"


def _nothing(job: Job) -> str:
    """Say why a task that a protocol can read gave no predictions."""
    if verifies(job.task):
        return "the pairs of valid or test clips are not both of one speaker and of two"
    return "a part has no labelled clips"


def _metrics(job: Job) -> tuple[Metric, ...]:
    """Return what the protocols score a task by."""
    if job.task.label == "phones":
        return ("per",)
    if verifies(job.task):
        return ("eer", "mindcf")
    return (metric_of(as_classes(job.task, job.corpus)[0]),)


def _chance(job: Job, seed: int) -> list[Score]:
    """Score what needs no features by the protocols' metric."""
    task, corpus = job.task, job.corpus
    probe: ProbeName = "logistic"
    if task.label == "phones":
        probe = "ctc"
    elif verifies(task):
        probe = "cosine"
    elif learnable(task):
        task, corpus = as_classes(task, corpus)
    else:
        return []
    measure = Measure(probe=probe, metrics=_metrics(job))
    return chance_scores(replace(task, measures=(measure,)), corpus, job.folds, seed)


def _new(chance: Sequence[Score], job: Job) -> list[Score]:
    """Return the scores of chance that the task itself does not have."""
    known = {metric for measure in job.task.measures for metric in measure.metrics}
    return [each for each in chance if each.metric not in known]
