"""One task on one corpus, its clips divided into parts that share nothing they must not."""

from dataclasses import dataclass, replace

from probe_bench.agenda import labelled
from probe_bench.corpus import Corpus
from probe_bench.errors import CorpusError, DivisionError
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

    @property
    def classes(self) -> set[str]:
        """The labels that occur: tags, phones, or values of the task's own label."""
        label, clips = self.task.label, self.corpus.clips
        if label == "tags":
            return {tag for clip in clips for tag in clip.tags or ()}
        if label == "phones":
            aligned = {segment.label for clip in clips for segment in clip.phones or ()}
            return aligned or {phone for clip in clips for phone in clip.phone_sequence or ()}
        return {clip.labels[label] for clip in clips}


def divide(task: Task, corpus: Corpus, seed: int) -> Job:
    """Divide a task's clips and refuse a division that leaks.

    Raises:
        DivisionError: If the clips cannot be divided.
        CorpusError: If an official division leaks.
    """
    clips = labelled(task, corpus)
    own = replace(corpus, clips=tuple(corpus.clips[i] for i in clips))
    try:
        folds = plan_folds(own, task, seed)
    except CorpusError as error:
        raise DivisionError(str(error)) from error
    check_leaks(own, task, folds)
    return Job(task=task, corpus=own, clips=tuple(clips), folds=folds)
