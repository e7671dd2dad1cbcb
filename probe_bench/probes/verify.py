"""Speaker verification on one task: pairs of each fold's test clips."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.standardise import Standardiser, fit_standardiser
from probe_bench.probes.stitching import FoldPredictions, stitch
from probe_bench.probes.verification import Trials, cosine_scores, make_trials
from probe_bench.scoring import Predictions, plain_value
from probe_bench.splits import Fold
from probe_bench.task import Measure, Task

__all__ = ["verify"]


def verify(
    measures: Sequence[Measure],
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    *,
    seed: int,  # noqa: ARG001  nothing is drawn
    config: ProbeConfig,
    further: Sequence[Features] = (),
) -> list[Predictions]:
    """Score trials by cosine; only mean and scale are fitted (on train).

    The same test trials are then scored from each of `further`, both clips of a pair alike.
    Nothing is returned where a fold's test clips give no pair of one speaker or none of two.
    """
    parts = [_fold(task, corpus, fold, features, config, further) for fold in folds]
    if any(part is None for part in parts):
        return []
    return [
        stitch(
            [part for part in parts if part is not None],
            probe=measure.probe,
            unit="trial",
            metric="eer",
            layers=tuple(layer.name for layer in features.layers),
            classes=(),
            corpus=corpus,
            task=task,
        )
        for measure in measures
    ]


def fold_trials(task: Task, corpus: Corpus, clips: Sequence[int], config: ProbeConfig) -> Trials:
    """Pair clips of different recordings; a clip without recording label is its own."""
    some = [corpus.clips[i] for i in clips]
    return make_trials(
        [clip.labels[task.label] for clip in some],
        [clip.labels.get("recording", f"clip {clip.id}") for clip in some],
        config.max_trials,
    )


def _fold(
    task: Task,
    corpus: Corpus,
    fold: Fold,
    features: Features,
    config: ProbeConfig,
    further: Sequence[Features],
) -> FoldPredictions | None:
    valid = fold_trials(task, corpus, fold.valid, config)
    test = fold_trials(task, corpus, fold.test, config)
    if bool(test.same.all()) or not bool(test.same.any()):
        return None
    predicted, values = [], []
    others: list[list[Float[np.ndarray, " trials"]]] = [[] for _ in further]
    for layer in range(len(features.layers)):
        pooled = features.pooled(layer)
        standardiser = fit_standardiser(pooled[_index(fold.train, pooled)])
        valid_scores = _scores(standardiser, pooled, fold.valid, valid)
        values.append(plain_value("eer", valid.same.numpy(), valid_scores))
        predicted.append(_scores(standardiser, pooled, fold.test, test))
        for source, scores in zip(further, others, strict=True):
            scores.append(_scores(standardiser, source.pooled(layer), fold.test, test))
    clips = np.array(fold.test)
    return FoldPredictions(
        clip=clips[test.first.numpy()],
        other=clips[test.second.numpy()],
        targets=test.same.numpy(),
        predicted=np.stack(predicted),
        settings=("",) * len(predicted),
        valid_values=tuple(values),
        further=tuple(np.stack(scores) for scores in others),
    )


def _scores(
    standardiser: Standardiser,
    pooled: Float[Tensor, "clips stats"],
    clips: Sequence[int],
    trials: Trials,
) -> Float[np.ndarray, " trials"]:
    return cosine_scores(standardiser(pooled[_index(clips, pooled)]), trials).numpy()


def _index(clips: Sequence[int], pooled: Float[Tensor, "clips stats"]) -> Tensor:
    return torch.tensor(clips, device=pooled.device)
