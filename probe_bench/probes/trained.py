"""Trained classifiers on one task: MLPs on units and attentive probes on the frames of clips.

All layers and settings are trained side by side on train, each layer's setting is chosen on valid, and
test is read once. Nothing that trains or chooses sees test data.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.attentive import attentive_scores, read_block, train_attentive
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.frames import (
    ClipFrames,
    equal_dim,
    equal_timing,
    frame_standardiser,
    frame_stride,
    in_blocks,
)
from probe_bench.probes.heads import Head, best_head
from probe_bench.probes.mlp import mlp_scores, train_mlp
from probe_bench.probes.standardise import Standardiser, fit_standardiser
from probe_bench.probes.stitching import FoldPredictions, stitch
from probe_bench.probes.units import gather, stream
from probe_bench.probes.work import Readings, Work, plan_work
from probe_bench.scoring import Predictions
from probe_bench.splits import Fold
from probe_bench.task import Measure, Task

__all__ = ["classify_by_heads"]

_STACK_BYTES = 1 << 30  # features of the layers that are trained together


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The head of one layer whose setting validates best, and what it says of the test units."""

    layer: int
    setting: str
    value: float
    predicted: Readings


def classify_by_heads(
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
    """Train, choose and predict for every trained classifier of a task, also from `further` features.

    Returns:
        One set of predictions per measure; none where a part of a fold has no units.
    """
    found = []
    for measure in measures:
        metric = measure.metrics[0]
        works = plan_work(
            task, corpus, folds, features, metric, seed=seed, config=config, further=further
        )
        if works:
            found.append(
                stitch(
                    [_fold(work, _TRAINERS[measure.probe]) for work in works],
                    probe=measure.probe,
                    unit=task.unit,
                    metric=metric,
                    layers=tuple(layer.name for layer in features.layers),
                    classes=works[0].coding.classes,
                    corpus=corpus,
                    task=task,
                )
            )
    return found


def _fold(work: Work, train: Callable[[Work], Iterator[_Chosen]]) -> FoldPredictions:
    chosen = sorted(train(work), key=lambda each: each.layer)
    return work.record(
        [each.predicted for each in chosen],
        [each.setting for each in chosen],
        [each.value for each in chosen],
    )


def _mlp(work: Work) -> Iterator[_Chosen]:
    """Train MLPs on pooled clips or on frames."""
    config, features, judge = work.config.mlp, work.features, work.judge()
    numbers = (len(work.train) + len(work.valid)) * (2 if work.of_clips else 1)
    for group in _groups(features, equal_dim(features), numbers):
        train = [gather(features, layer, work.train) for layer in group]
        valid = [gather(features, layer, work.valid) for layer in group]
        standardisers = [fit_standardiser(x) for x in train]
        trained = train_mlp(
            torch.stack([s(x) for s, x in zip(standardisers, train, strict=True)]),
            work.targets(train[0].device),
            judge,
            torch.stack([s(x) for s, x in zip(standardisers, valid, strict=True)]),
            units_per_step=config.clips_per_step if work.of_clips else config.frames_per_step,
            seed=work.seed,
            config=config,
        )
        for place, layer in enumerate(group):
            head = best_head(trained, config.settings, place)
            score = partial(_mlp_scores, work, layer, head, standardisers[place])
            yield _Chosen(
                layer=layer,
                setting=str(head.setting),
                value=head.value,
                predicted=work.predict(judge, score),
            )


def _attentive(work: Work) -> Iterator[_Chosen]:
    """Train attentive probes on the frames of clips."""
    config, features, judge = work.config.attentive, work.features, work.judge()
    clips = work.train.clip.tolist()
    for kind in equal_timing(features):
        stride = frame_stride(features.layers[kind[0]], config.max_frame_rate_hz)
        longest = -(-int(features.n_frames(kind[0]).max()) // stride)
        for group in _groups(features, [kind], longest * config.clips_per_step):
            standardisers = [frame_standardiser(features, k, clips, stride) for k in group]
            frames = ClipFrames(
                features, group, standardisers, stride=stride, keep_bytes=_STACK_BYTES
            )
            trained = train_attentive(
                frames, len(group), features.layers[kind[0]].dim, work.train.clip,
                work.targets(standardisers[0].mean.device), judge, work.valid.clip,
                seed=work.seed, config=config,
            )  # fmt: skip
            for place, layer in enumerate(group):
                head = best_head(trained, config.settings, place)
                score = partial(_attentive_scores, work, layer, head, standardisers[place], stride)
                yield _Chosen(
                    layer=layer,
                    setting=str(head.setting),
                    value=head.value,
                    predicted=work.predict(judge, score),
                )


def _mlp_scores(
    work: Work, layer: int, head: Head, standardiser: Standardiser, source: Features
) -> Iterator[Float[Tensor, "1 _ classes"]]:
    """Read one layer of the test units from a source, block by block."""
    for _, x in stream(source, layer, work.test):
        yield mlp_scores(head.parameters, standardiser(x).unsqueeze(0))


def _attentive_scores(
    work: Work, layer: int, head: Head, standardiser: Standardiser, stride: int, source: Features
) -> Iterator[Float[Tensor, "1 _ classes"]]:
    """Read the frames of one layer of the test clips from a source, block by block."""
    own = ClipFrames(source, [layer], [standardiser], stride=stride)
    only = torch.zeros(1, dtype=torch.long)
    for block in in_blocks(work.test.clip.tolist(), work.config.attentive.clips_per_step):
        yield attentive_scores(head.parameters, read_block(own, block), only)


_TRAINERS: Mapping[str, Callable[[Work], Iterator[_Chosen]]] = {
    "mlp": _mlp,
    "attentive": _attentive,
}


def _groups(
    features: Features, kinds: Sequence[Sequence[int]], numbers: int
) -> Iterator[list[int]]:
    """Split layers that stack so that a stack of `numbers` vectors a layer stays within bounds."""
    for kind in kinds:
        size = max(1, _STACK_BYTES // max(1, 4 * numbers * features.layers[kind[0]].dim))
        yield from (list(kind[i : i + size]) for i in range(0, len(kind), size))
