"""Rooms: a direct path and a tail of noise that decays exponentially (Polack's statistical model).

Direct and reverberant energy are equal, which is a listener at the critical distance of the room, so
the reverberation time alone is the severity. The direct path comes at lag 0: labels in time stay
where they are.
"""

import numpy as np
from jaxtyping import Float, Float32
from scipy import signal

from probe_bench.degradations.level import at_level_of

__all__ = ["decaying_noise", "impulse_response", "reverberate"]


def reverberate(
    samples: Float32[np.ndarray, " samples"], rate_hz: int, t60_s: float, rng: np.random.Generator
) -> Float32[np.ndarray, " samples"]:
    """Put a clip into a room, at the level and length of the clean one."""
    room = impulse_response(t60_s, rate_hz, rng)
    wet = signal.fftconvolve(samples.astype(np.float64), room)[: len(samples)]
    return at_level_of(samples, wet)


def impulse_response(
    t60_s: float, rate_hz: int, rng: np.random.Generator
) -> Float[np.ndarray, " taps"]:
    """Draw a room impulse response; direct-to-reverberant ratio 0 dB, direct path at tap 0."""
    room: Float[np.ndarray, " taps"] = decaying_noise(t60_s, 1, rate_hz, rng)[0]
    room[0] = 0
    room /= np.sqrt(np.square(room).sum())
    room[0] = 1
    return room


def decaying_noise(
    t60_s: float, channels: int, rate_hz: int, rng: np.random.Generator
) -> Float[np.ndarray, "channels taps"]:
    """Draw independent noise whose level falls by 60 dB over its length `t60_s`."""
    taps = max(2, int(t60_s * rate_hz))
    time_s = np.arange(taps) / rate_hz
    noise: Float[np.ndarray, "channels taps"] = rng.standard_normal((channels, taps))
    noise *= 10 ** (-3 * time_s / t60_s)
    return noise
