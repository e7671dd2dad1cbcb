"""Sound events made from formulas, each class with broad random parameters.

Every function takes a length and a generator and returns that many samples at `RATE_HZ`, of any
level. Classes overlap in long-term spectrum on purpose: many differ by how they change in time.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from probe_bench.tasks.corpora.recording import RATE_HZ, coloured_noise

__all__ = ["EVENTS"]

Samples = NDArray[np.float64]
Event = Callable[[int, np.random.Generator], Samples]


def hum(n: int, rng: np.random.Generator) -> Samples:
    """Steady tone with a few harmonics."""
    return _harmonics(np.full(n, _log_uniform(rng, 80.0, 450.0)), rng.uniform(0.3, 1.5), 6)


def bell(n: int, rng: np.random.Generator) -> Samples:
    """Struck inharmonic partials by frequency modulation, each strike dying away."""
    carrier_hz, ratio = _log_uniform(rng, 700.0, 2000.0), rng.uniform(2.2, 3.7)
    t = _time_s(n)
    sound = np.zeros(n)
    for at in _onsets(n, rng.uniform(0.3, 0.9), rng, jitter=0.3):
        since = np.maximum(t - at, 0.0)
        decay = np.exp(-since / rng.uniform(0.15, 0.5)) * (t >= at)
        depth = rng.uniform(1.0, 5.0) * decay
        sound += decay * np.sin(
            2 * np.pi * carrier_hz * since + depth * np.sin(2 * np.pi * carrier_hz * ratio * since)
        )
    return sound


def clicks(n: int, rng: np.random.Generator) -> Samples:
    """Regular train of short wide-band clicks."""
    return _pulses(
        n, 1 / rng.uniform(6.0, 25.0), rng, decay_s=rng.uniform(0.0005, 0.002), jitter=0.02
    )


def knock(n: int, rng: np.random.Generator) -> Samples:
    """Irregular blows on something that rings low and short."""
    blows = _pulses(n, rng.uniform(0.15, 0.5), rng, decay_s=rng.uniform(0.005, 0.02), jitter=0.35)
    return _ring(blows, _log_uniform(rng, 120.0, 400.0), rng.uniform(0.01, 0.03))


def crackle(n: int, rng: np.random.Generator) -> Samples:
    """Sparse random clicks of very different strength, as of fire or dust."""
    return _poisson(n, _log_uniform(rng, 15.0, 60.0), rng, decay_s=rng.uniform(0.0005, 0.002))


def rain(n: int, rng: np.random.Generator) -> Samples:
    """Dense drops over a wide band of noise."""
    drops = _poisson(n, _log_uniform(rng, 300.0, 1000.0), rng, decay_s=0.001)
    return _unit(drops) + rng.uniform(0.2, 0.8) * coloured_noise(n, rng.uniform(-0.2, 0.6), rng)


def wind(n: int, rng: np.random.Generator) -> Samples:
    """Noise in a band whose centre and strength wander slowly."""
    slow = np.cumsum(rng.standard_normal(n // 400 + 2))
    slow = np.interp(np.arange(n), np.arange(len(slow)) * 400, slow - slow.mean())
    slow = _unit(slow)
    noise = _band(coloured_noise(n, -1.0, rng), 100.0, _log_uniform(rng, 300.0, 1000.0))
    return noise * np.exp(rng.uniform(0.7, 1.2) * slow)


def hiss(n: int, rng: np.random.Generator) -> Samples:
    """Steady noise in a random band, as of steam or a fan."""
    low_hz = _log_uniform(rng, 1500.0, 4500.0)
    return _band(rng.standard_normal(n), low_hz, low_hz * rng.uniform(1.5, 3.0))


def flutter(n: int, rng: np.random.Generator) -> Samples:
    """Band noise with deep periodic modulation, as of a helicopter or a saw."""
    low_hz = _log_uniform(rng, 300.0, 1500.0)
    noise = _band(rng.standard_normal(n), low_hz, low_hz * rng.uniform(1.5, 3.0))
    phase = 2 * np.pi * rng.uniform(4.0, 20.0) * _time_s(n) + rng.uniform(0, 2 * np.pi)
    return noise * (1 + rng.uniform(0.8, 1.0) * np.sin(phase))


def up_chirp(n: int, rng: np.random.Generator) -> Samples:
    """Repeated glides upward."""
    return _glides(n, _log_uniform(rng, 300.0, 1000.0), rng, upward=True)


def down_chirp(n: int, rng: np.random.Generator) -> Samples:
    """Repeated glides downward."""
    return _glides(n, _log_uniform(rng, 500.0, 1600.0), rng, upward=False)


def siren(n: int, rng: np.random.Generator) -> Samples:
    """Tone that swings up and down smoothly."""
    swing = np.sin(2 * np.pi * rng.uniform(0.4, 3.0) * _time_s(n) + rng.uniform(0, 2 * np.pi))
    freq_hz = _log_uniform(rng, 600.0, 1300.0) * 2 ** (rng.uniform(0.3, 0.8) * swing)
    return _harmonics(freq_hz, rng.uniform(0.8, 2.0), 4)


def alarm(n: int, rng: np.random.Generator) -> Samples:
    """Regular beeps of one tone."""
    tone = _harmonics(np.full(n, _log_uniform(rng, 1000.0, 3000.0)), rng.uniform(0.8, 2.0), 3)
    place = (_time_s(n) * rng.uniform(1.5, 6.0) + rng.random()) % 1.0
    return tone * _smooth((place < rng.uniform(0.3, 0.7)).astype(np.float64), 0.005)


def engine(n: int, rng: np.random.Generator) -> Samples:
    """Many low harmonics of a rate that drifts, with noise that follows it."""
    drift = np.cumsum(rng.standard_normal(n // 800 + 2)) * 0.02
    rate_hz = _log_uniform(rng, 25.0, 75.0) * np.exp(
        np.interp(np.arange(n), np.arange(len(drift)) * 800, drift)
    )
    stack = _harmonics(rate_hz, rng.uniform(0.4, 1.0), 30)
    pulse = 1 + np.sin(2 * np.pi * np.cumsum(rate_hz) / RATE_HZ)
    return _unit(stack) + rng.uniform(0.1, 0.5) * pulse * coloured_noise(n, -1.0, rng)


def trill(n: int, rng: np.random.Generator) -> Samples:
    """Bursts of fast frequency modulation at high pitch, as of a bird."""
    t = _time_s(n)
    rate_hz, centre_hz = rng.uniform(12.0, 35.0), _log_uniform(rng, 2500.0, 5000.0)
    freq_hz = centre_hz * 2 ** (rng.uniform(0.08, 0.35) * np.sin(2 * np.pi * rate_hz * t))
    place = (t * rng.uniform(0.7, 2.5) + rng.random()) % 1.0
    return _harmonics(freq_hz, 2.0, 2) * _smooth(
        (place < rng.uniform(0.4, 0.8)).astype(np.float64), 0.02
    )


def bark(n: int, rng: np.random.Generator) -> Samples:
    """Short rough harmonic bursts that fall in pitch, as of an animal."""
    t, pitch_hz = _time_s(n), _log_uniform(rng, 180.0, 700.0)
    sound = np.zeros(n)
    for at in _onsets(n, rng.uniform(0.25, 0.8), rng, jitter=0.3):
        since = np.maximum(t - at, 0.0)
        envelope = (
            (t >= at) * np.minimum(since / 0.01, 1.0) * np.exp(-since / rng.uniform(0.04, 0.12))
        )
        sound += envelope * _harmonics(pitch_hz * np.exp(-2.0 * np.minimum(since, 0.5)), 0.7, 12)
    return sound * (1 + 0.5 * coloured_noise(n, -0.5, rng))


EVENTS: Mapping[str, Event] = {
    event.__name__: event
    for event in (
        alarm, bark, bell, clicks, crackle, down_chirp, engine, flutter, hiss, hum, knock, rain,
        siren, trill, up_chirp, wind,
    )
}  # fmt: skip


def _harmonics(freq_hz: Samples, slope: float, count: int) -> Samples:
    """Sum harmonics of a moving frequency, amplitude `k ** -slope`, none above 7.5 kHz."""
    phase = 2 * np.pi * np.cumsum(freq_hz) / RATE_HZ
    order = np.arange(1, count + 1)
    order = order[order * freq_hz.max() < 7500.0][:, None]
    stack: Samples = (order**-slope * np.sin(order * phase)).sum(0)
    return stack


def _glides(n: int, low_hz: float, rng: np.random.Generator, *, upward: bool) -> Samples:
    octaves = rng.uniform(0.7, 2.0)
    place = (_time_s(n) / rng.uniform(0.2, 1.0) + rng.random()) % 1.0
    freq_hz = low_hz * 2 ** (octaves * (place if upward else 1.0 - place))
    # Faded at both ends of each glide, so that the jump back makes no click.
    fade = np.minimum(1.0, 20 * np.minimum(place, 1 - place))
    glide: Samples = _harmonics(freq_hz, rng.uniform(1.0, 2.0), 3) * fade
    return glide


def _onsets(n: int, period_s: float, rng: np.random.Generator, *, jitter: float) -> Samples:
    """Times in seconds about `period_s` apart, moved by up to `jitter` periods."""
    regular = np.arange(rng.random() * period_s * 0.5, n / RATE_HZ, period_s)
    return np.maximum(regular + period_s * jitter * rng.uniform(-1, 1, len(regular)), 0.0)


def _pulses(
    n: int, period_s: float, rng: np.random.Generator, *, decay_s: float, jitter: float
) -> Samples:
    times_s = _onsets(n, period_s, rng, jitter=jitter)
    return _decaying_noise(n, times_s, rng.uniform(0.6, 1.0, len(times_s)), rng, decay_s)


def _poisson(n: int, rate_hz: float, rng: np.random.Generator, *, decay_s: float) -> Samples:
    """Pulses at independent times with log-normal strength."""
    times_s = rng.uniform(0, n / RATE_HZ, rng.poisson(rate_hz * n / RATE_HZ) + 1)
    return _decaying_noise(n, times_s, np.exp(rng.standard_normal(len(times_s))), rng, decay_s)


def _decaying_noise(
    n: int, times_s: Samples, strengths: Samples, rng: np.random.Generator, decay_s: float
) -> Samples:
    """Noise under an exponential decay from each of the times."""
    train = np.zeros(n)
    np.add.at(train, np.minimum((times_s * RATE_HZ).astype(np.int64), n - 1), strengths)
    kernel = np.exp(-np.arange(int(6 * decay_s * RATE_HZ) + 1) / (decay_s * RATE_HZ))
    return _convolve(train, kernel) * rng.standard_normal(n)


def _ring(sound: Samples, freq_hz: float, decay_s: float) -> Samples:
    """Let `sound` excite one decaying resonance."""
    t = np.arange(int(6 * decay_s * RATE_HZ)) / RATE_HZ
    return _convolve(sound, np.exp(-t / decay_s) * np.sin(2 * np.pi * freq_hz * t))


def _convolve(sound: Samples, kernel: Samples) -> Samples:
    size = 1 << (len(sound) + len(kernel)).bit_length()
    whole: Samples = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(kernel, size), size)
    return whole[: len(sound)]


def _band(sound: Samples, low_hz: float, high_hz: float) -> Samples:
    """Keep a band; the edges are those of fourth-order Butterworth filters."""
    size = 1 << len(sound).bit_length()
    freq_hz = np.maximum(np.fft.rfftfreq(size, 1 / RATE_HZ), 1.0)
    gain = 1 / np.sqrt((1 + (low_hz / freq_hz) ** 8) * (1 + (freq_hz / high_hz) ** 8))
    return np.fft.irfft(np.fft.rfft(sound, size) * gain, size)[: len(sound)]


def _smooth(gate: Samples, width_s: float) -> Samples:
    """Take the clicks out of a gate by a moving average."""
    width = round(width_s * RATE_HZ)
    return _convolve(gate, np.full(width, 1 / width))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _time_s(n: int) -> Samples:
    return np.arange(n) / RATE_HZ


def _unit(samples: Samples) -> Samples:
    """Scale to RMS 1."""
    return samples / float(np.sqrt(np.square(samples).mean() + 1e-12))
