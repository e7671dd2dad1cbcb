"""The weighted sum of all layers on one task: trained on every fold, read on test.

It is one probe of the whole encoder: its predictions stand as `best`, and beside them the weight that
it gave each layer, averaged over folds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.stitching import FoldPredictions, only_best, stitch
from probe_bench.probes.units import Units, stream, thin
from probe_bench.probes.weighted_sum import WeightedSum, summable, train_weighted_sum
from probe_bench.probes.work import Work, plan_work
from probe_bench.scoring import Predictions
from probe_bench.splits import Fold
from probe_bench.task import Measure, Task

__all__ = ["SUM", "classify_by_sum"]

SUM = "sum"
"""Stands for the name of a layer in the setting of the row."""


def classify_by_sum(
    measures: Sequence[Measure],
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    *,
    seed: int,
    config: ProbeConfig,
    further: Sequence[Features] = (),
) -> list[Predictions]:
    """Train the weighted sum and predict the test units, also from `further` features.

    Returns:
        One set of predictions, `best` alone; none where a part of a fold has no units.
    """
    (measure,) = measures
    metric = measure.metrics[0]
    works = plan_work(
        task, corpus, folds, features, metric, seed=seed, config=config, further=further
    )
    if not works:
        return []
    layers = summable(features)
    made = [_fold(_thinned(work, len(layers)), layers) for work in works]
    stitched = stitch(
        [predictions for predictions, _ in made],
        probe=measure.probe,
        unit=task.unit,
        metric=metric,
        layers=(SUM,),
        classes=works[0].coding.classes,
        corpus=corpus,
        task=task,
    )
    weights = torch.stack([trained.layer_weights for _, trained in made]).mean(0)
    named = zip((features.layers[k].name for k in layers), weights.tolist(), strict=True)
    return [
        replace(
            only_best(stitched),
            layer_weights=tuple(named),
            notes=(*stitched.notes, *_notes(works[0], layers)),
        )
    ]


def _fold(work: Work, layers: Sequence[int]) -> tuple[FoldPredictions, WeightedSum]:
    config, judge = work.config.weighted_sum, work.judge()
    train, valid = (
        torch.cat(list(_read(work.features, layers, units))) for units in (work.train, work.valid)
    )
    trained = train_weighted_sum(
        train,
        work.targets(train.device),
        judge,
        valid,
        units_per_step=config.clips_per_step if work.of_clips else config.frames_per_step,
        seed=work.seed,
        config=config,
    )
    predicted = work.predict(
        judge, lambda source: map(trained.scores, _read(source, layers, work.test))
    )
    return work.record([predicted], [trained.setting], [trained.value]), trained


def _read(
    features: Features, layers: Sequence[int], units: Units
) -> Iterator[Float[Tensor, "block layers dim"]]:
    """Yield units on all layers in blocks of clips: frames, or the means of clips."""
    dim = features.layers[layers[0]].dim
    for blocks in zip(*(stream(features, layer, units) for layer in layers), strict=True):
        yield torch.stack([x[:, :dim] for _, x in blocks], 1)


def _room(work: Work, n_layers: int) -> int:
    """Units whose features on all layers fit in memory."""
    config, dims = work.config.weighted_sum, [layer.dim for layer in work.features.layers]
    return max(1, config.max_bytes // (4 * n_layers * max(dims)))


def _thinned(work: Work, n_layers: int) -> Work:
    """Bound the memory that training takes: it needs all layers of a unit at once."""
    room = _room(work, n_layers)
    train, valid = (thin(units, room, work.seed) for units in (work.train, work.valid))
    return replace(work, train=train, valid=valid)


def _notes(work: Work, layers: Sequence[int]) -> Iterator[str]:
    """Say what is not in the sum."""
    features = work.features
    others = [layer.name for k, layer in enumerate(features.layers) if k not in layers]
    if others:
        dim = features.layers[layers[0]].dim
        yield (
            f"weighted-sum of {features.encoder} is over the {len(layers)} layers of {dim} "
            f"dimensions, without {', '.join(others)}"
        )
    room = _room(work, len(layers))
    if len(work.train) > room:
        yield f"weighted-sum of {features.encoder} learns from {room} of {len(work.train)} units"
