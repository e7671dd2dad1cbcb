"""What a protocol reads of a corpus: one class a clip, or sets of tags."""

from dataclasses import replace

from probe_bench.corpus import Corpus
from probe_bench.probes.kinds import kind_of
from probe_bench.task import Metric, Task

__all__ = ["as_classes", "learnable", "metric_of", "verifies"]

_ONLY_TAG = "only tag"


def learnable(task: Task) -> bool:
    """Whether a head can learn the classes of a task's clips: train, valid and test share them."""
    return task.unit == "clip" and task.label not in task.disjoint


def verifies(task: Task) -> bool:
    """Whether a task asks of pairs of clips if they are of one class that training has not heard."""
    pairs = any(kind_of(measure.probe).family == "pairs" for measure in task.measures)
    return pairs and not learnable(task)


def as_classes(task: Task, corpus: Corpus) -> tuple[Task, Corpus]:
    """Read tags as classes where every clip has exactly one (ESC-50), as the protocols do."""
    if task.label != "tags" or any(len(clip.tags or ()) != 1 for clip in corpus):
        return task, corpus
    clips = tuple(
        replace(clip, labels={**clip.labels, _ONLY_TAG: (clip.tags or ("",))[0]}) for clip in corpus
    )
    return replace(task, label=_ONLY_TAG), replace(corpus, clips=clips)


def metric_of(task: Task) -> Metric:
    """Return what the protocols score by: accuracy, of sets of tags the mean average precision."""
    return "map" if task.label == "tags" else "accuracy"
