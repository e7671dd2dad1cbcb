"""What probes and analyses see of the feature cache."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.encoder import Layer

__all__ = ["Features", "Subset", "nearest_frames"]


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


def nearest_frames(
    times_s: Float[Tensor, " times"], layer: Layer, n_frames: int
) -> Int[Tensor, " times"]:
    """Index of the frame whose centre is nearest to each time, clipped to the frames there are."""
    first_s, rate_hz = float(layer.first_frame_s), float(layer.frame_rate_hz)
    return ((times_s - first_s) * rate_hz).round().long().clamp(0, n_frames - 1)
