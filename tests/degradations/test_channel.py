"""Coloration: the range asked for, no sound before its cause, no delay to speak of."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import signal

from probe_bench.degradations.channel import colour, gain_db, minimum_phase
from probe_bench.degradations.level import rms


@pytest.mark.parametrize("range_db", [6.0, 24.0])
def test_the_gain_spans_the_range(range_db: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        gain = gain_db(np.linspace(0, 22050, 40001), range_db, rng.standard_normal(4))
        assert np.ptp(gain) == pytest.approx(range_db, rel=1e-3)
        assert np.abs(np.diff(gain)).max() < 1.0  # smooth: no step between 0.55 Hz apart


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_the_filter_has_the_gain_and_minimum_phase(rate_hz: int) -> None:
    rng = np.random.default_rng(1)
    frequency = np.fft.rfftfreq(2 ** int(np.ceil(np.log2(rate_hz / 2))), 1 / rate_hz)
    gain = gain_db(frequency, 24.0, rng.standard_normal(4))
    taps = minimum_phase(gain)
    np.testing.assert_allclose(20 * np.log10(np.abs(np.fft.rfft(taps))), gain, atol=0.05)
    oracle = signal.minimum_phase(
        signal.firwin2(4097, frequency, 10 ** (gain / 20), fs=rate_hz), half=False
    )
    np.testing.assert_allclose(taps[:50], oracle[:50], atol=0.02 * np.abs(oracle).max())
    energy = np.cumsum(taps**2) / np.sum(taps**2)
    assert np.searchsorted(energy, 0.5) <= 0.001 * rate_hz


def test_level_and_length_stay(speech: Callable[..., np.ndarray]) -> None:
    clean = speech(16000)
    coloured = colour(clean, 16000, 18.0, np.random.default_rng(0))
    assert len(coloured) == len(clean)
    assert rms(coloured) == pytest.approx(rms(clean), rel=1e-6)
    assert rms(coloured - clean) > 0.1 * rms(clean)


def test_no_range_changes_nothing(speech: Callable[..., np.ndarray]) -> None:
    clean = speech(16000)
    coloured = colour(clean, 16000, 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(coloured, clean, atol=1e-6)
