"""Log-mel spectrogram: the baseline, the front end of patch encoders, the modulation reference."""

from functools import lru_cache

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor

__all__ = ["log_mel", "mel_filters"]


def log_mel(
    waveform: Float[Tensor, "*batch samples"],
    sample_rate_hz: int,
    *,
    bands: int = 64,
    hop_samples: int,
    window_samples: int,
    floor: float = 1e-6,
) -> Float[Tensor, "*batch frames bands"]:
    """Natural log of the power in mel bands, without any padding at the edges.

    Frame k covers samples `[k * hop_samples, k * hop_samples + window_samples)` under a Hann window,
    so it is centred at `(k * hop_samples + window_samples / 2) / sample_rate_hz`.

    Args:
        waveform: Samples in [-1, 1].
        sample_rate_hz: Rate of the waveform.
        bands: Mel bands between 20 Hz and half the sample rate (Slaney scale and area norm).
        hop_samples: Distance between frames.
        window_samples: Length of the Hann window, also the least length of the waveform.
        floor: Added to the power, so silence is log(floor).

    Returns:
        One frame for each whole window.
    """
    n_fft = 1 << (window_samples - 1).bit_length()
    frames = waveform.unfold(-1, window_samples, hop_samples)
    window = torch.hann_window(window_samples, device=waveform.device)
    power = torch.fft.rfft(frames * window, n=n_fft).abs().square()
    filters = mel_filters(bands, n_fft, sample_rate_hz).to(power)
    return torch.log(power @ filters + floor)


@lru_cache(maxsize=16)
def mel_filters(bands: int, n_fft: int, sample_rate_hz: int) -> Float[Tensor, "freqs bands"]:
    """Triangular mel filters on the DFT's frequencies."""
    filters: Tensor = torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1,
        f_min=20.0,
        f_max=sample_rate_hz / 2,
        n_mels=bands,
        sample_rate=sample_rate_hz,
        norm="slaney",
        mel_scale="slaney",
    )
    return filters
