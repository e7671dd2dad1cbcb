"""The whole of one task on one corpus for one encoder: cached features in, scores out.

Per fold, probes are fitted on train, layer and strength are chosen on valid, and test is read once
with what was chosen. Test predictions of all folds are pooled before a metric is taken. Every layer
gets a score; `best` is the layer that each fold chose, stitched together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from probe_bench.chance import chance_scores
from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.classify import classify
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.kinds import Family, kind_of
from probe_bench.probes.knn import vote
from probe_bench.probes.recognise import recognise
from probe_bench.probes.verify import verify
from probe_bench.scoring import Predictions, Score, score
from probe_bench.splits import Fold
from probe_bench.task import Measure, Metric, Task

__all__ = ["Evaluation", "ProbeConfig", "chance_scores", "evaluate"]


@runtime_checkable
class _Reader(Protocol):
    """Fits the probes of one family on every fold, chooses on valid, and predicts test."""

    def __call__(
        self,
        measures: Sequence[Measure],
        task: Task,
        corpus: Corpus,
        folds: Sequence[Fold],
        features: Features,
        *,
        seed: int,
        config: ProbeConfig,
    ) -> list[Predictions]: ...


_READERS: Mapping[Family, _Reader] = {
    "linear": classify,
    "neighbours": vote,
    "pairs": verify,
    "transcripts": recognise,
}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything that came out of one task on one corpus for one encoder.

    Attributes:
        scores: One per probe, metric and layer, `best` last.
        predictions: One per probe, to score again from.
        notes: What the reader of the scores should know.
    """

    scores: tuple[Score, ...]
    predictions: tuple[Predictions, ...]
    notes: tuple[str, ...]


def evaluate(
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    seed: int,
    *,
    config: ProbeConfig | None = None,
) -> Evaluation:
    """Fit, choose, predict and score every probe of a task.

    Args:
        task: Task.
        corpus: Clips that carry the task's label; phones may be aligned or in order only.
        folds: Clip indices of train, valid and test.
        features: Cached features, clips numbered as in `corpus`.
        seed: Seed of thinning, CTC training and bootstrap.
        config: Strengths and sizes; the defaults if None.

    Returns:
        Scores, predictions and notes. Probes that the labels do not allow are left out (frames
        without alignment, trials without two recordings of a speaker, PLDA without a speaker who
        has two training clips) and noted.
    """
    config = config or ProbeConfig()
    families: dict[Family, list[Measure]] = {}
    for measure in task.measures:
        families.setdefault(kind_of(measure.probe).family, []).append(measure)
    predictions = [
        made
        for family, measures in families.items()
        for made in _READERS[family](
            measures, task, corpus, folds, features, seed=seed, config=config
        )
    ]
    metrics: dict[str, tuple[Metric, ...]] = {m.probe: m.metrics for m in task.measures}
    scores = [
        each
        for made in predictions
        for each in score(made, metrics[made.probe], corpus=corpus.name, task=task.name, seed=seed)
    ]
    return Evaluation(
        scores=tuple(scores),
        predictions=tuple(predictions),
        notes=(*_left_out(task, predictions), *(n for made in predictions for n in made.notes)),
    )


def _left_out(task: Task, predictions: Sequence[Predictions]) -> list[str]:
    made = {each.probe for each in predictions}
    return [
        f"{measure.probe} left out: the labels give a part of the split nothing to fit or score it by"
        for measure in task.measures
        if measure.probe not in made
    ]
