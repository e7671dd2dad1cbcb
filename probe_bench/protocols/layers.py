"""Frames of all layers that can be summed frame by frame, and predictions from their weighted sum."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.stitching import FoldPredictions, only_best, stitch
from probe_bench.probes.weighted_sum import summable
from probe_bench.protocols.clips import SUM
from probe_bench.scoring import Predictions
from probe_bench.task import Metric, Task

__all__ = ["from_sum", "in_step", "stacked_frames"]


def in_step(features: Features) -> list[int]:
    """Return the layers that can be summed frame by frame: of the size and timing of the deepest."""
    layers = summable(features)
    last = features.layers[layers[-1]]
    timing = (last.frame_rate_hz, last.first_frame_s)
    return [
        k
        for k in layers
        if (features.layers[k].frame_rate_hz, features.layers[k].first_frame_s) == timing
    ]


def stacked_frames(
    features: Features, layers: Sequence[int], clips: Sequence[int]
) -> list[Float[Tensor, "_ layers dim"]]:
    """Return all frames of some clips, those of the layers beside each other."""
    by_layer = [features.frames(layer, clips) for layer in layers]
    return [torch.stack(frames, 1) for frames in zip(*by_layer, strict=True)]


def from_sum(
    folds: Sequence[tuple[FoldPredictions, Float[Tensor, " layers"]]],
    layers: Sequence[str],
    *,
    probe: str,
    unit: str,
    metric: Metric,
    corpus: Corpus,
    task: Task,
) -> Predictions:
    """Pool what the heads of all folds said, `best` alone, with the mean weights of the layers.

    Args:
        folds: Predictions of each fold, and the weights that its head gave the layers.
        layers: Their names.
        probe: Name of the probe.
        unit: Of the predictions.
        metric: Chosen by.
        corpus: Their clips.
        task: Their task.
    """
    stitched = stitch(
        [predictions for predictions, _ in folds],
        probe=probe,
        unit=unit,
        metric=metric,
        layers=(SUM,),
        classes=(),
        corpus=corpus,
        task=task,
    )
    weights = torch.stack([mix for _, mix in folds]).mean(0).tolist()
    return replace(only_best(stitched), layer_weights=tuple(zip(layers, weights, strict=True)))
