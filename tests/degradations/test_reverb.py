"""Rooms: decay, ratio and timing of the impulse response."""

from collections.abc import Callable

import numpy as np
import pytest

from probe_bench.degradations.level import rms
from probe_bench.degradations.reverb import impulse_response, reverberate


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
@pytest.mark.parametrize("t60_s", [0.15, 0.3, 0.6, 1.2])
def test_the_tail_decays_as_asked(rate_hz: int, t60_s: float) -> None:
    """Schroeder's backward integral falls by 60 dB in T60; fitted from -5 to -35 dB of the tail."""
    for seed in range(5):
        tail = impulse_response(t60_s, rate_hz, np.random.default_rng(seed))[1:]
        left = np.cumsum(tail[::-1] ** 2)[::-1]
        level_db = 10 * np.log10(left / left[0])
        used = (level_db < -5) & (level_db > -35)
        slope, _ = np.polyfit(np.flatnonzero(used) / rate_hz, level_db[used], 1)
        assert -60 / slope == pytest.approx(t60_s, rel=0.1)


def test_direct_sound_comes_first_with_half_of_the_energy() -> None:
    room = impulse_response(0.4, 16000, np.random.default_rng(0))
    assert room[0] == 1
    assert np.argmax(np.abs(room)) == 0
    assert np.sum(room[1:] ** 2) == pytest.approx(1)


def test_an_impulse_stays_where_it_was(speech: Callable[..., np.ndarray]) -> None:
    click = np.zeros(16000, dtype=np.float32)
    click[4000] = 0.5
    wet = reverberate(click, 16000, 0.6, np.random.default_rng(0))
    assert np.argmax(np.abs(wet)) == 4000
    np.testing.assert_allclose(wet[:4000], 0, atol=1e-6)
    dry = speech(16000)
    wet = reverberate(dry, 16000, 0.6, np.random.default_rng(0))
    assert len(wet) == len(dry)
    assert rms(wet) == pytest.approx(rms(dry), rel=1e-6)


def test_it_is_a_convolution(speech: Callable[..., np.ndarray]) -> None:
    dry = speech(8000, seconds=0.2)
    wet = reverberate(dry, 8000, 0.1, np.random.default_rng(3))
    slow = np.convolve(dry, impulse_response(0.1, 8000, np.random.default_rng(3)))[: len(dry)]
    np.testing.assert_allclose(wet / rms(wet), slow / rms(slow), rtol=1e-4, atol=1e-5)
