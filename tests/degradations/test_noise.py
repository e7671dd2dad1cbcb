"""Additive noise: the ratio asked for is the ratio got, in the spectrum asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from probe_bench.degradations.level import rms
from probe_bench.degradations.noise import add_noise, mix, pink, shaped_noise, white
from probe_bench.degradations.spectrum import LongTermSpectrum, long_term_spectrum


@pytest.mark.parametrize("snr_db", [20.0, 5.0, 0.0, -5.0])
@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_the_ratio_is_reached(
    snr_db: float, rate_hz: int, speech: Callable[..., np.ndarray]
) -> None:
    clean = speech(rate_hz)
    noise = shaped_noise(len(clean), rate_hz, pink, np.random.default_rng(1))
    added = mix(clean, noise, snr_db) - clean
    reached = 10 * np.log10(np.mean(clean.astype(float) ** 2) / np.mean(added**2))
    assert reached == pytest.approx(snr_db, abs=0.01)
    # The whole function is that sum at another level: solve for the level, look at the rest.
    noisy = add_noise(clean, rate_hz, snr_db, pink, np.random.default_rng(1))
    gain = rms(clean) / rms(clean + added)
    reached = 20 * np.log10(rms(clean) / rms(noisy / gain - clean))
    assert reached == pytest.approx(snr_db, abs=0.01)
    assert rms(noisy) == pytest.approx(rms(clean), rel=1e-6)


def octave_levels_db(noise: np.ndarray, rate_hz: int) -> np.ndarray:
    frequency, power = signal.welch(noise, rate_hz, nperseg=4096)
    edges = [250 * 2**k for k in range(5)]
    bands = [(frequency >= a) & (frequency < 2 * a) for a in edges]
    return 10 * np.log10([power[band].sum() for band in bands])


def test_white_and_pink_have_their_slopes() -> None:
    rng = np.random.default_rng(0)
    levels = octave_levels_db(shaped_noise(160_000, 16000, white, rng), 16000)
    np.testing.assert_allclose(np.diff(levels), 3.01, atol=0.3)
    levels = octave_levels_db(shaped_noise(160_000, 16000, pink, rng), 16000)
    np.testing.assert_allclose(np.diff(levels), 0, atol=0.3)


def test_noise_of_a_corpus_has_its_spectrum_whatever_the_rates_and_levels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for k, rate_hz in enumerate((16000, 16000, 8000)):
        sound = shaped_noise(5 * rate_hz, rate_hz, pink, rng)
        paths.append(tmp_path / f"{k}.wav")
        soundfile.write(paths[-1], 0.1 / 10**k * sound / np.abs(sound).max(), rate_hz, "FLOAT")
    spectrum = long_term_spectrum(paths)
    noise = shaped_noise(160_000, 16000, spectrum, rng)
    np.testing.assert_allclose(np.diff(octave_levels_db(noise, 16000)), 0, atol=0.7)
    assert spectrum(np.array([9000.0])) == 0


def test_a_spectrum_is_read_between_its_points() -> None:
    spectrum = LongTermSpectrum(frequency_hz=np.array([0.0, 100.0]), power=np.array([1.0, 3.0]))
    np.testing.assert_allclose(spectrum(np.array([0.0, 50.0, 100.0, 101.0])), [1, 2, 3, 0])
