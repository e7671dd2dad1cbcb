"""Codecs: artefacts that grow with the severity, and labels that stay where they are."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import signal

from probe_bench.degradations.codec import delay_samples, mp3, mu_law, opus
from probe_bench.degradations.level import rms

Coder = Callable[[np.ndarray, int, float], np.ndarray]


def lag_samples(clean: np.ndarray, heard: np.ndarray) -> int:
    """Lag of the best match by cross-correlation, positive if what is heard comes late."""
    matches = signal.correlate(heard.astype(float), clean.astype(float), method="fft")
    return int(np.argmax(matches)) - (len(clean) - 1)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
@pytest.mark.parametrize("bitrate_kbps", [64.0, 32.0, 16.0, 8.0])
def test_mp3_is_aligned(
    rate_hz: int, bitrate_kbps: float, speech: Callable[..., np.ndarray]
) -> None:
    clean = speech(rate_hz)
    heard = mp3(clean, rate_hz, bitrate_kbps)
    assert len(heard) == len(clean)
    assert rms(heard) == pytest.approx(rms(clean), rel=1e-5)
    per_sample = max(1, rate_hz // 24000)  # one sample at the codec's rate, of at most 24 kHz
    assert abs(lag_samples(clean, heard)) <= per_sample


@pytest.mark.parametrize("rate_hz", [8000, 22050, 48000])
@pytest.mark.parametrize("bitrate_kbps", [48.0, 6.0])
def test_opus_is_aligned(
    rate_hz: int, bitrate_kbps: float, speech: Callable[..., np.ndarray]
) -> None:
    clean = speech(rate_hz)
    heard = opus(clean, rate_hz, bitrate_kbps)
    assert len(heard) == len(clean)
    assert rms(heard) == pytest.approx(rms(clean), rel=1e-5)
    assert abs(lag_samples(clean, heard)) <= 2


def test_a_delay_that_the_stream_does_not_tell_is_found() -> None:
    """LAME's encoder (576 + 1) and the decoder (528) delay by 1105 samples together."""
    assert delay_samples("MP3", 16000, 64.0) == 0
    assert delay_samples("MP3", 16000, 16.0) == 1105


@pytest.mark.parametrize(("coder", "rates"), [(mp3, (64, 32, 16, 8)), (opus, (48, 24, 12, 6))])
def test_fewer_bits_leave_less(
    coder: Coder, rates: tuple[int, ...], speech: Callable[..., np.ndarray]
) -> None:
    clean = speech(16000)
    errors = [rms(coder(clean, 16000, float(rate)) - clean) for rate in rates]
    assert errors == sorted(errors)
    assert errors[0] < 0.5 * errors[-1]


def test_nothing_clips_whatever_the_level(speech: Callable[..., np.ndarray]) -> None:
    clean = speech(16000)
    for coder in (mp3, opus):
        for gain in (1e-3, 30.0):
            loud = gain * coder(clean, 16000, 24.0)
            np.testing.assert_allclose(coder(gain * clean, 16000, 24.0), loud, atol=0.02 * gain)


def test_mu_law_is_that_of_the_standard_library_of_sound(speech: Callable[..., np.ndarray]) -> None:
    from torch import from_numpy  # noqa: PLC0415
    from torchaudio.functional import mu_law_decoding, mu_law_encoding  # noqa: PLC0415

    clean = speech(8000)
    peak = np.abs(clean).max()
    oracle = mu_law_decoding(mu_law_encoding(from_numpy(clean / peak), 256), 256).numpy()
    np.testing.assert_allclose(mu_law(clean, 8000) / rms(clean), oracle / rms(oracle), atol=1e-4)


def test_mu_law_takes_any_rate(speech: Callable[..., np.ndarray]) -> None:
    clean = speech(44100)
    heard = mu_law(clean, 44100)
    assert len(heard) == len(clean)
    assert abs(lag_samples(clean, heard)) <= 1
    frequency = np.fft.rfftfreq(len(heard), 1 / 44100)
    power = np.abs(np.fft.rfft(heard)) ** 2
    assert power[frequency > 4200].sum() < 1e-6 * power.sum()
