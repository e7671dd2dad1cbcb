"""Log-mel spectrogram: the baseline, the front end of patch encoders, the modulation reference."""

from functools import lru_cache

import torch
import torchaudio.functional
from jaxtyping import Float
from torch import Tensor
from torchaudio.compliance.kaldi import get_mel_banks

__all__ = ["kaldi_filters", "kaldi_log_mel", "log_mel", "mel_filters"]

_PREEMPHASIS = 0.97


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
    window = _beside(_hann(window_samples, periodic=True), waveform)
    power = torch.fft.rfft(frames * window, n=n_fft).abs().square()
    filters = _beside(mel_filters(bands, n_fft, sample_rate_hz), power)
    return torch.log(power @ filters + floor)


@lru_cache(maxsize=16)
def _hann(window_samples: int, *, periodic: bool) -> Float[Tensor, " window_samples"]:
    """Hann window, kept: a traced or exported encoder then holds it as a constant."""
    return torch.hann_window(window_samples, periodic=periodic)


def _beside(kept: Tensor, x: Tensor) -> Tensor:
    """Bring a kept constant to the device and type of `x`.

    A tracer would write `to` down as a move to the device of the tracing; `type_as` moves to wherever
    `x` is when the program runs.
    """
    if (kept.device, kept.dtype) == (x.device, x.dtype) and not torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return kept
    return kept.type_as(x)


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


def kaldi_log_mel(
    waveform: Float[Tensor, "*batch samples"],
    sample_rate_hz: int,
    *,
    bands: int,
    hop_samples: int,
    window_samples: int,
) -> Float[Tensor, "*batch frames bands"]:
    """Log-mel spectrogram as Kaldi's `compute-fbank-feats` makes it, without dither.

    Differs from `log_mel` in each frame's removed mean and pre-emphasis (0.97), a symmetric Hann
    window, triangles that are linear on the HTK mel scale, and a floor that replaces smaller powers
    in place of being added to all. Equal to `torchaudio.compliance.kaldi.fbank`, which takes one
    waveform at a time.

    Args:
        waveform: Samples in [-1, 1].
        sample_rate_hz: Rate of the waveform.
        bands: Mel bands between 20 Hz and half the sample rate.
        hop_samples: Distance between frames.
        window_samples: Length of the window, also the least length of the waveform.

    Returns:
        One frame for each whole window; silence is the log of float32's epsilon, -15.94.
    """
    n_fft = 1 << (window_samples - 1).bit_length()
    frames = waveform.unfold(-1, window_samples, hop_samples)
    frames = frames - frames.mean(-1, keepdim=True)
    # The sample before a frame is taken to equal the frame's first one.
    before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    window = _beside(_hann(window_samples, periodic=False), waveform)
    spectrum = torch.fft.rfft((frames - _PREEMPHASIS * before) * window, n=n_fft)
    filters = _beside(kaldi_filters(bands, n_fft, sample_rate_hz), waveform)
    power = spectrum.abs().square() @ filters
    return torch.log(power.clamp_min(torch.finfo(torch.float32).eps))


@lru_cache(maxsize=16)
def kaldi_filters(bands: int, n_fft: int, sample_rate_hz: int) -> Float[Tensor, "freqs bands"]:
    """Kaldi's triangular filters on the DFT's frequencies; half the sample rate weighs nothing."""
    triangles, _ = get_mel_banks(bands, n_fft, sample_rate_hz, 20.0, 0.0, 100.0, -500.0, 1.0)
    filters: Tensor = torch.nn.functional.pad(triangles, (0, 1)).T.contiguous()
    return filters
