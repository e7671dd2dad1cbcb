"""Low-pass of the temporal modulations: sound whose levels change no faster than a cutoff.

The levels of mel bands, half a critical band wide, are smoothed over time without delay (Butterworth
magnitude of order 4, as that of the encoder `lowpass:F`), and the short-time spectrum of the sound is
scaled to the smooth levels; its phases, and so pitch and fine structure, stay what they were.

Source: Drullman, Festen and Plomp 1994, 10.1121/1.408467 (temporal smearing of speech, own fine
structure); Elliott and Theunissen 2009, 10.1371/journal.pcbi.1000302 (on log levels).
"""

import math

import numpy as np
import torch
from jaxtyping import Complex, Float, Float32
from torch import Tensor

from probe_bench.degradations.level import at_level_of
from probe_bench.logmel import mel_filters
from probe_bench.modulation.lowpass import low_pass

__all__ = ["low_pass_modulations"]

_WINDOW_S = 0.025  # that of the log-mel by which modulations are measured
_OVERLAP = 4
_BANDS = 80
_TURNS = 3
_RANGE = math.log(1e4)  # 40 dB below the mean of its band a level counts as silence
_LARGEST_GAIN = math.log(1e3)  # 30 dB: pauses are filled by what is in them, not by rounding


def low_pass_modulations(
    samples: Float32[np.ndarray, " samples"], rate_hz: int, cutoff_hz: float
) -> Float32[np.ndarray, " samples"]:
    """Smooth the levels of all bands; half power at the cutoff, no delay.

    Neighbouring windows overlap and cannot all get the levels asked for: what is missing in the levels
    of the result is given again, three turns in all. What is achieved: `docs/modulation.md`.
    """
    frames = _Frames(rate_hz)
    if len(samples) <= frames.n_fft // 2:
        return samples  # hardly a window: nothing changes in it
    clean = frames.split(torch.from_numpy(samples))
    power = frames.levels(clean)
    silence = power.mean(0) * math.exp(-_RANGE) + torch.finfo(power.dtype).tiny
    # Logarithms, as in the front ends that shall notice: a quiet band or a pause counts as much as a
    # loud one at any level, and the filter's ringing cannot ask for a power below zero.
    wanted = low_pass((power + silence).log(), rate_hz / frames.hop, cutoff_hz)
    gain, smooth = torch.zeros_like(wanted), torch.from_numpy(samples)
    for turn in range(_TURNS):
        if turn:
            power = frames.levels(frames.split(smooth))
        gain = (gain + wanted - (power + silence).log()).clamp(max=_LARGEST_GAIN)
        smooth = frames.join(clean * frames.amplitude(gain), len(samples))
    return at_level_of(samples, smooth.numpy())


class _Frames:
    """Short-time spectra at one sample rate, their levels in mel bands, and the way back."""

    def __init__(self, rate_hz: int) -> None:
        window = round(_WINDOW_S * rate_hz)
        self.hop, self.n_fft = window // _OVERLAP, 1 << (window - 1).bit_length()
        self._window = torch.hann_window(window)
        self._filters = mel_filters(_BANDS, self.n_fft, rate_hz)
        # A bin goes with the bands that it is in; one that is in none stays as it is.
        self._shares = self._filters / self._filters.sum(1, keepdim=True).clamp(min=1e-12)

    def split(self, waveform: Float[Tensor, " samples"]) -> Complex[Tensor, "frames bins"]:
        """Spectra around every hop, the first one at time 0; the sound is mirrored at its ends."""
        spectra: Tensor = torch.stft(
            waveform,
            self.n_fft,
            self.hop,
            len(self._window),
            self._window,
            return_complex=True,
        )
        return spectra.mT

    def levels(self, spectra: Complex[Tensor, "frames bins"]) -> Float[Tensor, "frames bands"]:
        """Power in every band."""
        return (spectra.real.square() + spectra.imag.square()) @ self._filters

    def amplitude(self, log_gain: Float[Tensor, "frames bands"]) -> Float[Tensor, "frames bins"]:
        """Factor on every bin for a gain of the power of every band."""
        return torch.exp(0.5 * log_gain @ self._shares.T)

    def join(
        self, spectra: Complex[Tensor, "frames bins"], n_samples: int
    ) -> Float[Tensor, " samples"]:
        """Sound whose spectra are nearest to these (Griffin and Lim 1984, 10.1109/TASSP.1984.1164317)."""
        return torch.istft(
            spectra.mT, self.n_fft, self.hop, len(self._window), self._window, length=n_samples
        )
