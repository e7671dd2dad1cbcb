"""Frames of all layers that can be summed frame by frame."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.features import Features
from probe_bench.probes.weighted_sum import summable

__all__ = ["in_step", "stacked_frames"]


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
