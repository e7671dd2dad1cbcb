"""What probes and analyses see of the feature cache."""

from collections.abc import Sequence
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.encoder import Layer

__all__ = ["Features", "nearest_frames"]


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


def nearest_frames(
    times_s: Float[Tensor, " times"], layer: Layer, n_frames: int
) -> Int[Tensor, " times"]:
    """Index of the frame whose centre is nearest to each time, clipped to the frames there are."""
    first_s, rate_hz = float(layer.first_frame_s), float(layer.frame_rate_hz)
    return ((times_s - first_s) * rate_hz).round().long().clamp(0, n_frames - 1)
