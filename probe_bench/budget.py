"""What a run will cost, measured on this machine just before it starts."""

import time
from dataclasses import dataclass

import torch

from probe_bench.encoder import Encoder
from probe_bench.extract import encode_clips

__all__ = ["Cost", "encoding_speed"]

_PROBE_S = 4.0  # noise that is encoded to time an encoder
_CLIPS = 4


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Expected cost of one extraction.

    Attributes:
        encoder: Name.
        corpus: Name.
        clips: Number of clips.
        audio_s: Seconds of audio.
        missing_s: Seconds of audio that are not in the cache yet.
        seconds: Expected time for them.
        n_bytes: Size of the complete cache entry.
    """

    encoder: str
    corpus: str
    clips: int
    audio_s: float
    missing_s: float
    seconds: float
    n_bytes: int


def encoding_speed(encoder: Encoder, device: str) -> float:
    """Return seconds of audio encoded per second, measured on noise after one warm-up.

    Args:
        encoder: Moved to `device`.
        device: Where it will run.
    """
    encoder = encoder.to(device)
    generator = torch.Generator().manual_seed(0)
    samples = max(int(_PROBE_S * encoder.sample_rate_hz), encoder.min_samples)
    noise = list(0.1 * torch.randn(_CLIPS, samples, generator=generator))
    encode_clips(encoder, noise[:1], device)
    start = time.perf_counter()
    encode_clips(encoder, noise, device)
    return _CLIPS * samples / encoder.sample_rate_hz / (time.perf_counter() - start)
