"""Mel filters without torchaudio, which an exported encoder does not ask for."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

__all__ = ["kaldi_filters", "mel_filters"]

_LOWEST_HZ = 20.0


@lru_cache(maxsize=16)
def mel_filters(bands: int, n_fft: int, sample_rate_hz: int) -> Float[Tensor, "freqs bands"]:
    """Triangles on Slaney's mel scale, each of area 1 in Hz.

    The scale is linear up to 1000 Hz (3 mel in 200 Hz) and logarithmic above (27 mel in a factor of
    6.4).
    """
    knee, step = 15.0, math.log(6.4) / 27
    top = knee + math.log(sample_rate_hz / 2 / 1000) / step
    mel = torch.linspace(3 * _LOWEST_HZ / 200, top, bands + 2, dtype=torch.float64)
    edges = torch.where(mel < knee, mel * 200 / 3, 1000 * (step * (mel - knee)).exp())
    freqs = torch.linspace(0, sample_rate_hz / 2, n_fft // 2 + 1, dtype=torch.float64)
    return (_triangles(freqs, edges) * 2 / (edges[2:] - edges[:-2])).float()


@lru_cache(maxsize=16)
def kaldi_filters(bands: int, n_fft: int, sample_rate_hz: int) -> Float[Tensor, "freqs bands"]:
    """Triangles that are linear on the HTK mel scale; half the sample rate weighs nothing."""
    freqs = torch.arange(n_fft // 2, dtype=torch.float64) * sample_rate_hz / n_fft
    low, high = (1127 * math.log1p(f / 700) for f in (_LOWEST_HZ, sample_rate_hz / 2))
    edges = torch.linspace(low, high, bands + 2, dtype=torch.float64)
    triangles = _triangles(1127 * torch.log1p(freqs / 700), edges)
    return F.pad(triangles, (0, 0, 0, 1)).float()


def _triangles(
    places: Float[Tensor, " freqs"], edges: Float[Tensor, " edges"]
) -> Float[Tensor, "freqs bands"]:
    """Rise from each edge to the next and fall to the one after it."""
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (places[:, None] - left) / (middle - left)
    falling = (right - places[:, None]) / (right - middle)
    return torch.minimum(rising, falling).clamp_min(0)
