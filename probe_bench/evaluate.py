"""The whole of one task on one corpus for one encoder: cached features in, scores out.

Per fold, probes are fitted on train, layer and strength are chosen on valid, and test is read once
with what was chosen. Test predictions of all folds are pooled before a metric is taken. Every layer
gets a score; `best` is the layer that each fold chose, stitched together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from probe_bench.chance import chance_scores
from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.classify import classify
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.kinds import Family, kind_of
from probe_bench.probes.knn import vote
from probe_bench.probes.recognise import recognise
from probe_bench.probes.summing import classify_by_sum
from probe_bench.probes.trained import classify_by_heads
from probe_bench.probes.verify import verify
from probe_bench.scoring import Predictions, Score, cautions, score
from probe_bench.splits import Fold
from probe_bench.task import Measure, Metric, Task

__all__ = ["Evaluation", "ProbeConfig", "chance_scores", "evaluate"]


@runtime_checkable
class _Reader(Protocol):
    """Fits the probes of one family on every fold, chooses on valid, and predicts test.

    The same probes then predict test from each of `further`.
    """

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
        further: Sequence[Features],
    ) -> list[Predictions]: ...


_READERS: Mapping[Family, _Reader] = {
    "linear": classify,
    "neighbours": vote,
    "pairs": verify,
    "transcripts": recognise,
    "heads": classify_by_heads,
    "sum": classify_by_sum,
}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything that came out of one task on one corpus for one encoder.

    Attributes:
        scores: One per probe, metric and layer, `best` last.
        predictions: One per probe, to score again from.
        notes: What the reader of the scores should know.
        further: Scores of the same probes on each of the further features, in the order of `scores`.
    """

    scores: tuple[Score, ...]
    predictions: tuple[Predictions, ...]
    notes: tuple[str, ...]
    further: tuple[tuple[Score, ...], ...] = ()


def evaluate(
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    seed: int,
    *,
    config: ProbeConfig | None = None,
    further: Sequence[Features] = (),
) -> Evaluation:
    """Fit, choose, predict and score every probe of a task.

    Args:
        task: Task.
        corpus: Clips that carry the task's label; phones may be aligned or in order only.
        folds: Clip indices of train, valid and test.
        features: Cached features, clips numbered as in `corpus`.
        seed: Seed of thinning, training and bootstrap.
        config: Strengths and sizes; the defaults if None.
        further: Other features of the test clips (degraded ones): read by the same fitted probes,
            with the layers and strengths that `features` chose.

    Returns:
        Scores, predictions and notes. Probes that the labels do not allow are left out (frames
        without alignment, trials without two recordings of a speaker, PLDA without a speaker who
        has two training clips) and noted, and so are those that need frames where there is one
        vector a clip.
    """
    config = config or ProbeConfig()
    has_frames = all(layer.frame_rate_hz for layer in features.layers)
    predictions = [
        made
        for family, measures in _by_family(task.measures, has_frames=has_frames).items()
        for made in _READERS[family](
            measures, task, corpus, folds, features, seed=seed, config=config, further=further
        )
    ]
    metrics: dict[str, tuple[Metric, ...]] = {m.probe: m.metrics for m in task.measures}

    def scored(some: Sequence[Predictions]) -> tuple[Score, ...]:
        names = {"corpus": corpus.name, "task": task.name}
        return tuple(
            each for made in some for each in score(made, metrics[made.probe], **names, seed=seed)
        )

    scores = scored(predictions)
    return Evaluation(
        scores=scores,
        predictions=tuple(predictions),
        notes=(
            *_left_out(task, predictions, has_frames=has_frames),
            *(n for made in predictions for n in made.notes),
            *cautions(scores, predictions),
        ),
        further=tuple(
            scored([replace(made, predicted=made.further[k]) for made in predictions])
            for k in range(len(further))
        ),
    )


def _by_family(
    measures: Sequence[Measure], *, has_frames: bool
) -> Mapping[Family, Sequence[Measure]]:
    """Sort measures by who reads them, without those that need frames where there are none."""
    families: dict[Family, list[Measure]] = {}
    for measure in measures:
        kind = kind_of(measure.probe)
        if has_frames or not kind.frames:
            families.setdefault(kind.family, []).append(measure)
    return families


def _left_out(task: Task, predictions: Sequence[Predictions], *, has_frames: bool) -> list[str]:
    made = {each.probe for each in predictions}
    return [
        f"{measure.probe} left out: "
        + (
            "the labels give a part of the split nothing to fit or score it by"
            if has_frames or not kind_of(measure.probe).frames
            else "it reads frames, and there is one vector a clip"
        )
        for measure in task.measures
        if measure.probe not in made
    ]
