"""Additive stationary noise: white, pink, or of the corpus' own long-term spectrum.

The signal-to-noise ratio is between mean powers over the whole clip, pauses included, at the
recording's own rate: the definition that holds for speech and for other sounds alike. Within speech
that has pauses the ratio to the active level (ITU-T P.56) is higher, by 10 log10(1 / active share) dB.
Noise of the corpus' own spectrum masks all its bands alike, as the speech-shaped noise of
audiology does (ICRA, Dreschler et al. 2001, Audiology 40).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32
from scipy import fft

from probe_bench.degradations.level import at_level_of, rms

__all__ = ["PowerSpectrum", "add_noise", "mix", "pink", "shaped_noise", "white"]

PowerSpectrum = Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]
"""Power density at frequencies in Hz, in any unit."""

_PINK_FROM_HZ = 20.0


def white(frequency_hz: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Equal power in every hertz."""
    return np.ones_like(frequency_hz)


def pink(frequency_hz: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Equal power in every octave above 20 Hz."""
    return np.asarray(1 / np.maximum(frequency_hz, _PINK_FROM_HZ), dtype=np.float64)


def add_noise(
    samples: Float32[np.ndarray, " samples"],
    rate_hz: int,
    snr_db: float,
    spectrum: PowerSpectrum,
    rng: np.random.Generator,
) -> Float32[np.ndarray, " samples"]:
    """Add noise of a spectrum at a signal-to-noise ratio and keep the level of the clean clip."""
    noise = shaped_noise(len(samples), rate_hz, spectrum, rng)
    return at_level_of(samples, mix(samples, noise, snr_db))


def shaped_noise(
    n_samples: int, rate_hz: int, spectrum: PowerSpectrum, rng: np.random.Generator
) -> Float[np.ndarray, " samples"]:
    """Draw Gaussian noise of a spectrum, without its mean."""
    size = fft.next_fast_len(n_samples, real=True)
    gain = np.sqrt(spectrum(fft.rfftfreq(size, 1 / rate_hz)))
    gain[0] = 0
    shaped = fft.irfft(gain * fft.rfft(rng.standard_normal(size)), size)
    return np.asarray(shaped[:n_samples], dtype=np.float64)


def mix(
    samples: Float[np.ndarray, " samples"], noise: Float[np.ndarray, " samples"], snr_db: float
) -> Float[np.ndarray, " samples"]:
    """Add noise scaled to a ratio of mean powers (float64)."""
    gain = rms(samples) / rms(noise) * 10 ** (-snr_db / 20)
    return samples.astype(np.float64) + gain * noise
