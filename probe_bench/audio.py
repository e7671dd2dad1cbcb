"""Read audio files as mono float32 and refuse what no encoder should see."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio.transforms
from jaxtyping import Float, Float32
from torch import Tensor

from probe_bench.errors import AudioError

__all__ = ["RATES_HZ", "load", "read", "resample", "resampled_length"]

RATES_HZ = (2000, 384000)
"""Outside these a header is wrong, not the recording unusual."""

_SILENCE = 1e-5  # -100 dBFS, below the last bit of 16-bit audio


def load(path: Path, sample_rate_hz: int) -> Float[Tensor, " samples"]:
    """Load one file, average its channels and resample to `sample_rate_hz`.

    Args:
        path: Any file that soundfile reads (wav, flac, ogg, mp3 ...).
        sample_rate_hz: Wanted rate.

    Returns:
        Samples, in [-1, 1] for integer formats.

    Raises:
        AudioError: If the file is unreadable, empty, non-finite or silent.
    """
    samples, rate_hz = read(path)
    return resample(torch.from_numpy(samples), rate_hz, sample_rate_hz)


def read(path: Path) -> tuple[Float32[np.ndarray, " samples"], int]:
    """Read one file as mono float32 at its own rate; raises as `load` does.

    Returns:
        Samples, and the sample rate in Hz.
    """
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise AudioError(
            f"{path}: not readable as audio ({error}); re-encode or remove it"
        ) from error
    if not len(samples):
        raise AudioError(f"{path}: 0 samples; expected audio; remove the file or record it again")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise AudioError(
            f"{path}: {bad} samples are NaN or infinite; expected finite audio; re-export it"
        )
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise AudioError(
            f"{path}: sample rate {rate_hz} Hz; expected {RATES_HZ[0]} to {RATES_HZ[1]} Hz; "
            "correct the header or convert the file"
        )
    mono = samples.mean(axis=1)
    if np.ptp(mono) < 2 * _SILENCE:
        raise AudioError(
            f"{path}: silent or constant (peak to peak below -94 dBFS); expected sound; "
            "remove it or check the export"
        )
    return mono, int(rate_hz)


def resample(
    samples: Float[Tensor, "*batch samples"], from_hz: int, to_hz: int
) -> Float[Tensor, "*batch resampled"]:
    """Resample by a Kaiser-windowed sinc (64 zero crossings, 0.95 of the lower Nyquist rate)."""
    if from_hz == to_hz:
        return samples
    resampled: Tensor = _resampler(from_hz, to_hz, samples.dtype, samples.device)(samples)
    return resampled


@lru_cache(maxsize=8)
def _resampler(
    from_hz: int, to_hz: int, dtype: torch.dtype, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Keep the kernel, which costs more than resampling a few seconds."""
    kept = torchaudio.transforms.Resample(
        from_hz,
        to_hz,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
        dtype=dtype,
    )
    on_device: Callable[[Tensor], Tensor] = kept.to(device)
    return on_device


def resampled_length(n_samples: int, from_hz: int, to_hz: int) -> int:
    """Return the length that `resample` gives `n_samples`: the exact ratio, rounded up."""
    return -(-n_samples * to_hz // from_hz)
