"""What a task is: a label, the unit it is read from, and how it is split, probed and scored."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Measure", "Metric", "ProbeName", "Task", "Unit"]

Unit = Literal["clip", "frame"]
ProbeName = Literal[
    "logistic",
    "ridge",
    "knn",
    "cosine",
    "plda",
    "as-norm",
    "ctc",
    "mlp",
    "attentive",
    "weighted-sum",
    "ctc-beam",
    "ctc-bilstm",
    "ctc-bilstm-beam",
]
Metric = Literal["accuracy", "uar", "map", "macro_auc", "eer", "mindcf", "per"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One probe and the metrics its predictions are scored by."""

    probe: ProbeName
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Everything that makes a task; a module under `tasks/` exposes one as `TASK`.

    Attributes:
        name: Name on the command line.
        summary: One line for `probe-bench list tasks`.
        label: `speaker`, `emotion`, `tags`, `phones` or any other label name of the corpus.
        unit: What is classified: whole clips (mean and std over frames) or frames.
        disjoint: Groups (label names) that must not be shared between train, valid and test.
        cluster: Group that is the independent unit of the bootstrap.
        measures: Probes and metrics; the first metric of the first measure is the headline.
        corpus: Default corpus.
    """

    name: str
    summary: str
    label: str
    unit: Unit
    disjoint: tuple[str, ...]
    cluster: str
    measures: tuple[Measure, ...]
    corpus: str

    @property
    def headline(self) -> Metric:
        """The metric that layers and strengths are chosen by."""
        return self.measures[0].metrics[0]
