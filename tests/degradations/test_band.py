"""Band limits: what passes, what stops, and that nothing moves."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from probe_bench.degradations.band import low_pass, telephone
from probe_bench.degradations.level import rms


def response_db(
    limit: Callable[[np.ndarray, int, float], np.ndarray], rate_hz: int, cutoff_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain by FFT of what becomes of an impulse, relative to its own highest."""
    click = np.zeros(2 * rate_hz, dtype=np.float32)
    click[rate_hz] = 1
    heard = limit(click, rate_hz, cutoff_hz).astype(np.float64)
    gain = np.abs(np.fft.rfft(heard))
    frequency = np.fft.rfftfreq(len(click), 1 / rate_hz)
    return frequency, 20 * np.log10(np.maximum(gain / np.median(gain[gain > gain.max() / 2]), 1e-9))


@pytest.mark.parametrize("rate_hz", [16000, 44100])
@pytest.mark.parametrize("cutoff_hz", [4000.0, 2000.0, 1000.0, 500.0])
def test_low_pass_edges(rate_hz: int, cutoff_hz: float) -> None:
    frequency, gain = response_db(low_pass, rate_hz, cutoff_hz)
    assert np.abs(gain[frequency < 0.95 * cutoff_hz]).max() < 0.1
    assert gain[frequency > 1.05 * cutoff_hz].max() < -70
    assert gain[np.argmin(np.abs(frequency - cutoff_hz))] == pytest.approx(-6, abs=0.5)


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_telephone_edges(rate_hz: int) -> None:
    frequency, gain = response_db(telephone, rate_hz, 3400.0)
    assert np.abs(gain[(frequency > 350) & (frequency < 3350)]).max() < 0.1
    assert gain[(frequency < 250) | (frequency > 3450)].max() < -70


def test_telephone_of_a_narrow_recording_is_its_high_pass() -> None:
    frequency, gain = response_db(telephone, 6000, 3400.0)
    assert gain[frequency < 250].max() < -70
    assert np.abs(gain[frequency > 350]).max() < 0.1


def test_beyond_nyquist_is_the_same_recording(speech: Callable[..., np.ndarray]) -> None:
    clean = speech(8000)
    assert low_pass(clean, 8000, 4000.0) is clean


@pytest.mark.parametrize("limit", [low_pass, telephone])
def test_nothing_moves_and_level_stays(
    limit: Callable[[np.ndarray, int, float], np.ndarray], speech: Callable[..., np.ndarray]
) -> None:
    clean = speech(16000)
    heard = limit(clean, 16000, 2000.0)
    assert len(heard) == len(clean)
    assert rms(heard) == pytest.approx(rms(clean), rel=1e-6)
    lags = np.correlate(heard[400:-400], clean, mode="full")
    assert np.argmax(lags) - (len(clean) - 1) == -400


def test_a_band_without_sound_is_not_blown_up() -> None:
    time_s = np.arange(16000) / 16000
    whistle = (0.1 * np.sin(2 * np.pi * 6000 * time_s)).astype(np.float32)
    whistle *= np.hanning(len(whistle)).astype(np.float32)
    assert rms(low_pass(whistle, 16000, 500.0)) < 0.1 * rms(whistle)
