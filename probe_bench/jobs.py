"""One task on one corpus, its clips divided into parts that share nothing they must not."""

from dataclasses import dataclass, replace

from probe_bench.agenda import labelled
from probe_bench.corpus import Corpus
from probe_bench.splits import Fold, check_leaks, plan_folds
from probe_bench.task import Task

__all__ = ["Job", "divide"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One task on one corpus, its clips divided.

    Attributes:
        task: The task.
        corpus: The clips that carry its label.
        clips: Their numbers in the surveyed corpus.
        folds: Train, valid and test parts.
    """

    task: Task
    corpus: Corpus
    clips: tuple[int, ...]
    folds: tuple[Fold, ...]


def divide(task: Task, corpus: Corpus, seed: int) -> Job:
    """Divide a task's clips and refuse a division that leaks."""
    clips = labelled(task, corpus)
    own = replace(corpus, clips=tuple(corpus.clips[i] for i in clips))
    folds = plan_folds(own, task, seed)
    check_leaks(own, task, folds)
    return Job(task=task, corpus=own, clips=tuple(clips), folds=folds)
