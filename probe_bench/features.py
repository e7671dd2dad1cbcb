"""What probes and analyses see of the feature cache."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.encoder import Layer

__all__ = ["Features", "Shelved", "Subset", "nearest_frames", "pooled_of", "reading_order"]


@runtime_checkable
class Features(Protocol):
    """Cached features of one encoder on one corpus; clips are numbered as in the corpus.

    Attributes:
        encoder: Name of the encoder.
        layers: Its layers; every `layer` argument below is an index into this.
    """

    encoder: str
    layers: tuple[Layer, ...]

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        """Mean and standard deviation over each clip's frames, side by side (2 * dim)."""
        ...

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        """Number of frames of every clip."""
        ...

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        """All frames of some clips, float32, one `frames dim` tensor a clip."""
        ...


@runtime_checkable
class Shelved(Protocol):
    """Features that lie in pieces and need not be held: what `Features` of any size offer besides."""

    def reading_order(self, clips: Sequence[int]) -> Int[np.ndarray, " clips"]:
        """Order of some clips, as indices into `clips`, in which each piece is read once."""
        ...

    def pooled_of(self, layer: int, clips: Sequence[int]) -> Float[Tensor, "clips stats"]:
        """Pooled statistics of some clips only."""
        ...


def reading_order(features: Features, clips: Sequence[int]) -> Int[np.ndarray, " clips"]:
    """Return the order in which clips are best read, as indices into `clips`."""
    if isinstance(features, Shelved):
        return features.reading_order(clips)
    return np.arange(len(clips))


def pooled_of(
    features: Features, layer: int, clips: Sequence[int]
) -> Float[Tensor, "{len(clips)} stats"]:
    """Return the pooled statistics of some clips, without reading those of all where that can be."""
    if isinstance(features, Shelved):
        return features.pooled_of(layer, clips)
    pooled = features.pooled(layer)
    return pooled[torch.as_tensor(clips, device=pooled.device)]


class Subset:
    """The features of some clips of a corpus, numbered from 0."""

    def __init__(self, features: Features, clips: Sequence[int]) -> None:
        self.encoder, self.layers = features.encoder, features.layers
        self._features, self._clips = features, torch.as_tensor(clips)

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        """Mean and standard deviation over each clip's frames, side by side (2 * dim)."""
        pooled = self._features.pooled(layer)
        return pooled[self._clips.to(pooled.device)]

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        """Return the number of frames of every clip."""
        return self._features.n_frames(layer)[self._clips]

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        """All frames of some clips, float32, one `frames dim` tensor a clip."""
        return self._features.frames(layer, self._clips[torch.as_tensor(clips)].tolist())

    def reading_order(self, clips: Sequence[int]) -> Int[np.ndarray, " clips"]:
        """Order of some clips in which each piece of the features is read once."""
        return reading_order(self._features, self._clips[torch.as_tensor(clips)].tolist())

    def pooled_of(self, layer: int, clips: Sequence[int]) -> Float[Tensor, "clips stats"]:
        """Pooled statistics of some clips only."""
        return pooled_of(self._features, layer, self._clips[torch.as_tensor(clips)].tolist())


def nearest_frames(
    times_s: Float[Tensor, " times"], layer: Layer, n_frames: int
) -> Int[Tensor, " times"]:
    """Index of the frame whose centre is nearest to each time, clipped to the frames there are."""
    first_s, rate_hz = float(layer.first_frame_s), float(layer.frame_rate_hz)
    return ((times_s - first_s) * rate_hz).round().long().clamp(0, n_frames - 1)
