"""Lossy codecs there and back: MP3 and Opus by libsndfile's encoders, and mu-law telephony.

A clip is coded at the highest rate that the codec has and that is not above its own, and comes back
at its own rate and length. The peak is brought to half of full scale before and the level restored
after, so nothing clips. What a codec delays is measured once on noise by cross-correlation and taken
out: labels in time stay where they are to within one sample of the codec's rate.
"""

import io
from functools import lru_cache

import numpy as np
import soundfile
import torch
from jaxtyping import Float32
from scipy import signal

from probe_bench.audio import resample
from probe_bench.degradations.level import at_level_of

__all__ = ["LIBRARY", "delay_samples", "mp3", "mu_law", "opus"]

LIBRARY = f"libsndfile {soundfile.__libsndfile_version__}"
"""What codes: other versions may give other bits."""

_MP3_HZ = (8000, 11025, 12000, 16000, 22050, 24000)  # of MPEG-2 and -2.5: all have 8 to 64 kbit/s
_OPUS_HZ = (8000, 12000, 16000, 24000, 48000)
_TELEPHONE_HZ = 8000
_MU = 255  # ITU-T G.711
_HEADROOM = 0.5
_HIGHEST_LEVEL = 0.9999  # libsndfile refuses 1


def mp3(
    samples: Float32[np.ndarray, " samples"], rate_hz: int, bitrate_kbps: float
) -> Float32[np.ndarray, " samples"]:
    """Send a clip through MP3 at a constant bit rate (LAME), at most 24 kHz."""
    return _there_and_back(samples, rate_hz, "MP3", bitrate_kbps, _MP3_HZ)


def opus(
    samples: Float32[np.ndarray, " samples"], rate_hz: int, bitrate_kbps: float
) -> Float32[np.ndarray, " samples"]:
    """Send a clip through Opus at a mean bit rate."""
    return _there_and_back(samples, rate_hz, "OPUS", bitrate_kbps, _OPUS_HZ)


def mu_law(
    samples: Float32[np.ndarray, " samples"], rate_hz: int
) -> Float32[np.ndarray, " samples"]:
    """Send a clip through 8-bit mu-law at 8 kHz (ITU-T G.711, the continuous law), 64 kbit/s."""
    line = _resampled(samples, rate_hz, _TELEPHONE_HZ)
    peak = float(np.abs(line).max()) or 1.0
    compressed = np.sign(line) * np.log1p(_MU * np.abs(line) / peak) / np.log1p(_MU)
    levels = np.round((compressed + 1) / 2 * _MU) / _MU * 2 - 1
    expanded = np.sign(levels) * np.expm1(np.abs(levels) * np.log1p(_MU)) / _MU
    back = _resampled(expanded.astype(np.float32), _TELEPHONE_HZ, rate_hz)
    return at_level_of(samples, _of_length(back, len(samples)))


def _there_and_back(
    samples: Float32[np.ndarray, " samples"],
    rate_hz: int,
    codec: str,
    bitrate_kbps: float,
    rates_hz: tuple[int, ...],
) -> Float32[np.ndarray, " samples"]:
    at_hz = max((rate for rate in rates_hz if rate <= rate_hz), default=rates_hz[0])
    sent = _resampled(samples, rate_hz, at_hz)
    peak = float(np.abs(sent).max()) or 1.0
    heard = _coded(sent * np.float32(_HEADROOM / peak), at_hz, codec, bitrate_kbps)
    heard = _of_length(_advanced(heard, delay_samples(codec, at_hz, bitrate_kbps)), len(sent))
    back = _resampled(heard, at_hz, rate_hz)
    return at_level_of(samples, _of_length(back, len(samples)))


@lru_cache(maxsize=64)
def delay_samples(codec: str, rate_hz: int, bitrate_kbps: float) -> int:
    """Measure by how many samples a codec delays: a second of pink noise, cross-correlated.

    LAME says its delay in a header that does not fit into the frames of low bit rates, so some
    streams come back aligned and others 1105 samples late.
    """
    rng = np.random.default_rng(0)
    noise = signal.lfilter([1], [1, -0.95], rng.standard_normal(rate_hz))
    sent = (_HEADROOM * noise / np.abs(noise).max()).astype(np.float32)
    heard = _coded(sent, rate_hz, codec, bitrate_kbps)
    matches = signal.correlate(heard.astype(np.float64), sent.astype(np.float64), method="fft")
    return int(np.argmax(matches)) - (len(sent) - 1)


def _coded(
    samples: Float32[np.ndarray, " samples"], rate_hz: int, codec: str, bitrate_kbps: float
) -> Float32[np.ndarray, " heard"]:
    """Encode and decode in memory."""
    stream = io.BytesIO()
    if codec == "MP3":
        # libsndfile runs linearly from the highest to the lowest bit rate of the sample rate.
        highest = 160.0 if rate_hz >= 16000 else 64.0
        level = (highest - bitrate_kbps) / (highest - 8)
        kind = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    else:
        level = 1 - (bitrate_kbps - 6) / 250
        kind = {"format": "OGG", "subtype": "OPUS"}
    level = min(max(level, 0.0), _HIGHEST_LEVEL)
    soundfile.write(stream, samples, rate_hz, compression_level=level, **kind)
    stream.seek(0)
    heard: Float32[np.ndarray, " heard"] = soundfile.read(stream, dtype="float32")[0]
    return heard


def _advanced(
    samples: Float32[np.ndarray, " samples"], delay: int
) -> Float32[np.ndarray, " advanced"]:
    return samples[delay:] if delay >= 0 else np.pad(samples, (-delay, 0))


def _of_length(
    samples: Float32[np.ndarray, " samples"], n_samples: int
) -> Float32[np.ndarray, " wanted"]:
    """Cut or fill with silence at the end."""
    return np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))


def _resampled(
    samples: Float32[np.ndarray, " samples"], from_hz: int, to_hz: int
) -> Float32[np.ndarray, " resampled"]:
    there: Float32[np.ndarray, " resampled"] = resample(
        torch.from_numpy(np.ascontiguousarray(samples)), from_hz, to_hz
    ).numpy()
    return there
