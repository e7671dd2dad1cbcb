"""Frames of clips as the trained probes read them: averaged in time where they come too fast."""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool1d

from probe_bench.encoder import Layer
from probe_bench.features import Features
from probe_bench.probes.standardise import Standardiser, standardiser_of

__all__ = [
    "ClipFrames",
    "equal_dim",
    "equal_timing",
    "frame_standardiser",
    "frame_stride",
    "in_blocks",
    "strided_frames",
]

_CLIPS_AT_ONCE = 64


def frame_stride(layer: Layer, max_frame_rate_hz: int) -> int:
    """Frames to average into one so that the rate is at most `max_frame_rate_hz`."""
    return max(1, math.ceil(layer.frame_rate_hz / max_frame_rate_hz))


def strided_frames(
    features: Features, layer: int, clips: Sequence[int], stride: int
) -> list[Float[Tensor, "_ dim"]]:
    """Frames of each clip, averaged in groups of `stride`; a shorter rest is averaged too."""
    frames = features.frames(layer, clips)
    if stride == 1:
        return frames
    return [avg_pool1d(x.T[None], stride, ceil_mode=True)[0].T for x in frames]


def in_blocks(clips: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Cut a list of clips into blocks of a size."""
    return (clips[first : first + size] for first in range(0, len(clips), size))


def frame_standardiser(
    features: Features, layer: int, clips: Sequence[int], stride: int
) -> Standardiser:
    """Fit a standardiser on all frames of some clips, block by block, in float64.

    Moments are taken about the first clip's mean, so that a large mean costs no digits.
    """
    shift = torch.cat(strided_frames(features, layer, clips[:1], stride)).double().mean(0)
    total, squares, largest = (torch.zeros_like(shift) for _ in range(3))
    n = 0
    for block in in_blocks(clips, _CLIPS_AT_ONCE):
        x = torch.cat(strided_frames(features, layer, block, stride)).double()
        total += (x - shift).sum(0)
        squares += (x - shift).square().sum(0)
        largest = torch.maximum(largest, x.abs().amax(0))
        n += len(x)
    mean = total / n
    std = (squares / n - mean.square()).clamp(min=0).sqrt()
    return standardiser_of(shift + mean, std, largest)


class ClipFrames:
    """Standardised frames of clips on a stack of layers; as many as fit in memory are read once.

    Args:
        features: Cached features.
        layers: Indices of layers of equal dim and timing.
        standardisers: One a layer.
        stride: Frames averaged into one.
        keep_bytes: Memory for clips that will be asked for again.
    """

    def __init__(
        self,
        features: Features,
        layers: Sequence[int],
        standardisers: Sequence[Standardiser],
        *,
        stride: int,
        keep_bytes: int = 0,
    ) -> None:
        self._features, self._stride, self._room = features, stride, keep_bytes
        self._layers = list(zip(layers, standardisers, strict=True))
        self._kept: dict[int, Float[Tensor, "layers _ dim"]] = {}

    def __call__(self, clip: int) -> Float[Tensor, "layers _ dim"]:
        """Return the frames of one clip."""
        if clip in self._kept:
            return self._kept[clip]
        frames = torch.stack(
            [
                standardiser(strided_frames(self._features, layer, [clip], self._stride)[0])
                for layer, standardiser in self._layers
            ]
        )
        size = frames.numel() * frames.element_size()
        if size <= self._room:
            self._kept[clip] = frames
            self._room -= size
        return frames


def equal_dim(features: Features) -> list[list[int]]:
    """Sort layers into those whose units stack."""
    return _alike([layer.dim for layer in features.layers])


def equal_timing(features: Features) -> list[list[int]]:
    """Sort layers into those whose frames stack: of equal dim, rate and first frame."""
    return _alike([(x.dim, x.frame_rate_hz, x.first_frame_s) for x in features.layers])


def _alike(kinds: Sequence[object]) -> list[list[int]]:
    return [[k for k, other in enumerate(kinds) if other == kind] for kind in dict.fromkeys(kinds)]
