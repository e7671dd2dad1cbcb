"""Coloration by a microphone or a line: a smooth random filter of minimum phase.

Its gain in dB over log-frequency is a sum of four cosines of random height, the first of which is a
tilt; they are scaled so that the highest gain between 50 Hz and 8 kHz lies `range_db` above the
lowest. Minimum phase: nothing sounds before its cause, and the delay is below a millisecond.
"""

import numpy as np
from jaxtyping import Float, Float32
from scipy import fft, signal

from probe_bench.degradations.level import at_level_of

__all__ = ["colour", "gain_db", "minimum_phase"]

_BAND_HZ = (50.0, 8000.0)
_COSINES = 4
_LENGTH_S = 0.5  # of the filter, more than its lowest feature rings


def colour(
    samples: Float32[np.ndarray, " samples"],
    rate_hz: int,
    range_db: float,
    rng: np.random.Generator,
) -> Float32[np.ndarray, " samples"]:
    """Send a clip through a random channel, at the level of the clean one."""
    size = 2 ** int(np.ceil(np.log2(_LENGTH_S * rate_hz)))
    frequency_hz = fft.rfftfreq(size, 1 / rate_hz)
    taps = minimum_phase(gain_db(frequency_hz, range_db, rng.standard_normal(_COSINES)))
    coloured = signal.fftconvolve(samples.astype(np.float64), taps)[: len(samples)]
    return at_level_of(samples, coloured)


def gain_db(
    frequency_hz: Float[np.ndarray, " bins"],
    range_db: float,
    heights: Float[np.ndarray, " cosines"],
) -> Float[np.ndarray, " bins"]:
    """Gain over frequency; beyond 50 Hz and 8 kHz it stays what it is there."""

    def shape(octave_share: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        order = np.arange(1, len(heights) + 1)
        cosines = np.cos(np.pi * order[:, None] * octave_share)
        return np.asarray(heights @ cosines, dtype=np.float64)

    low, high = np.log(_BAND_HZ)
    everywhere = shape(np.linspace(0, 1, 1001))
    inside = np.log(np.clip(frequency_hz, *_BAND_HZ))
    return shape((inside - low) / (high - low)) * (range_db / float(np.ptp(everywhere)))


def minimum_phase(gain_db: Float[np.ndarray, " bins"]) -> Float[np.ndarray, " taps"]:
    """Return the causal filter of a gain whose phase follows from it.

    The logarithm of a minimum-phase response is the Fourier transform of a causal cepstrum, so the
    even cepstrum of the log gain is folded onto its positive side (Oppenheim and Schafer 2010,
    section 13.5).
    """
    cepstrum = fft.irfft(gain_db * np.log(10) / 20)
    half = len(cepstrum) // 2
    cepstrum[1:half] *= 2
    cepstrum[half + 1 :] = 0
    return np.asarray(fft.irfft(np.exp(fft.rfft(cepstrum))), dtype=np.float64)
