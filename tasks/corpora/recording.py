"""The way from a clean sound to a recording: room, background noise, channel and level.

All of it is numpy in double precision in a fixed order, so that rounding to 16 bit gives the same
samples on every machine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RATE_HZ", "Conditions", "Samples", "coloured_noise", "record", "resample", "to_int16"]

RATE_HZ = 16000

Samples = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """How recordings of one corpus differ from clip to clip; every range is drawn uniformly.

    Attributes:
        eq_db: Standard deviation of each of the random channel's six cosines over log frequency.
        low_cut_hz: Range of the channel's lower edge.
        high_cut_hz: Range of the channel's upper edge.
        snr_db: Range of the ratio of sound to background noise before the channel.
        noise_slope: Range of the exponent of the noise's power over frequency: 0 white, -2 brown.
        room_t60_s: Range of the reverberation time.
        room_db: Range of the level of the reverberation against the direct sound.
        level_db: Range of the level of the recording (RMS, full scale).
    """

    eq_db: float = 2.0
    low_cut_hz: tuple[float, float] = (30.0, 150.0)
    high_cut_hz: tuple[float, float] = (5500.0, 9000.0)
    snr_db: tuple[float, float] = (18.0, 45.0)
    noise_slope: tuple[float, float] = (-2.0, 0.3)
    room_t60_s: tuple[float, float] = (0.08, 0.4)
    room_db: tuple[float, float] = (-40.0, -14.0)
    level_db: tuple[float, float] = (-33.0, -13.0)


def record(
    sound: Samples, conditions: Conditions, rng: np.random.Generator, *, louder_db: float = 0.0
) -> Samples:
    """Put `sound` into a room with noise and send it through a channel, all random.

    Args:
        sound: At `RATE_HZ`, of any level.
        conditions: What is random and how far.
        rng: Source of randomness.
        louder_db: How much louder the source is than usual: it stands out that much more from the
            noise, and the recording is that much louder.

    Returns:
        As many samples, below full scale. The direct sound is not delayed: labels of `sound` hold.
    """
    wet = _room(sound, conditions, rng)
    noise = coloured_noise(len(wet), rng.uniform(*conditions.noise_slope), rng)
    snr_db = rng.uniform(*conditions.snr_db) + louder_db
    noisy = wet + noise * _rms(wet) * 10 ** (-snr_db / 20)
    received = _channel(noisy, conditions, rng)
    level_db = rng.uniform(*conditions.level_db) + louder_db
    received *= 10 ** (level_db / 20) / _rms(received)
    return received * min(1.0, 0.99 / float(np.abs(received).max()))


def coloured_noise(n_samples: int, slope: float, rng: np.random.Generator) -> Samples:
    """Return Gaussian noise of RMS 1 whose power goes with frequency to the `slope`, from 50 Hz."""
    n = _fast_length(n_samples)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum *= np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 50.0) ** (slope / 2)
    noise = np.fft.irfft(spectrum, n)[:n_samples]
    return noise / _rms(noise)


def resample(
    samples: Samples, from_hz: int, to_hz: int = RATE_HZ, *, tilt_db: float = 0.0
) -> Samples:
    """Resample by cropping the spectrum, with a raised-cosine edge below the new Nyquist rate.

    Args:
        samples: At `from_hz`, which is not lower than `to_hz`.
        from_hz: Rate of `samples`.
        to_hz: Wanted rate.
        tilt_db: Slope in dB per octave above 500 Hz to give the spectrum on the way.

    Returns:
        `ceil(len(samples) * to_hz / from_hz)` samples; sample k is at `k / to_hz` seconds.
    """
    # The spectrum can be cropped without moving a sample if the padded length spans a whole number
    # of samples at both rates; the padding also keeps the two ends from wrapping into each other.
    unit = from_hz // np.gcd(from_hz, to_hz)
    n_in = unit * (len(samples) // unit + 3)
    n_out = n_in * to_hz // from_hz
    spectrum = np.fft.rfft(samples, n_in)[: n_out // 2 + 1]
    freq_hz = np.arange(len(spectrum)) * (from_hz / n_in)
    nyquist_hz = to_hz / 2
    edge = np.clip((freq_hz - 0.94 * nyquist_hz) / (0.06 * nyquist_hz), 0, 1)
    octaves = np.log2(np.maximum(freq_hz, 500.0) / 500.0)
    gain = (0.5 + 0.5 * np.cos(np.pi * edge)) * 10 ** (tilt_db * octaves / 20) * (n_out / n_in)
    return np.fft.irfft(spectrum * gain, n_out)[: -(-len(samples) * to_hz // from_hz)]


def to_int16(samples: Samples) -> NDArray[np.int16]:
    """Round samples in [-1, 1) to 16 bit."""
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)


def _room(sound: Samples, conditions: Conditions, rng: np.random.Generator) -> Samples:
    """Add an exponentially decaying tail of noise, 10 ms after the direct sound."""
    t60_s = rng.uniform(*conditions.room_t60_s)
    level_db = rng.uniform(*conditions.room_db)
    time_s = np.arange(round(t60_s * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / t60_s)
    tail *= 10 ** (level_db / 20) / np.sqrt(np.square(tail).sum())
    response = np.concatenate([[1.0], np.zeros(RATE_HZ // 100), tail])
    n = _fast_length(len(sound) + len(response))
    return np.fft.irfft(np.fft.rfft(sound, n) * np.fft.rfft(response, n), n)[: len(sound)]


def _channel(sound: Samples, conditions: Conditions, rng: np.random.Generator) -> Samples:
    """Filter by a zero-phase random response, smooth over log frequency, and band-limit."""
    n = _fast_length(len(sound) + RATE_HZ // 10)  # room for the response's two ends
    freq_hz = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 20.0)
    place = np.log(freq_hz / 60.0) / np.log(8000.0 / 60.0)  # 0 at 60 Hz, 1 at 8 kHz
    order = np.arange(1, 7)
    weights_db = conditions.eq_db * rng.standard_normal(len(order))
    gain_db = weights_db @ np.cos(np.pi * order[:, None] * place)
    low, high = rng.uniform(*conditions.low_cut_hz), rng.uniform(*conditions.high_cut_hz)
    # Magnitudes of second- and sixth-order Butterworth filters.
    edges = 1 / np.sqrt((1 + (low / freq_hz) ** 4) * (1 + (freq_hz / high) ** 12))
    filtered = np.fft.irfft(np.fft.rfft(sound, n) * 10 ** (gain_db / 20) * edges, n)
    return filtered[: len(sound)]


def _fast_length(n_samples: int) -> int:
    """Round up to a length without large prime factors, whose transform is quick."""
    return -(-n_samples // 4096) * 4096


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.square(samples).mean()))
