"""Audio that no encoder should see is refused with one line that says what to do."""

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

from probe_bench.audio import load, resample, resampled_length
from probe_bench.errors import AudioError


def written(path: Path, samples: np.ndarray, rate_hz: int = 16000) -> Path:
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    ("samples", "rate_hz", "found"),
    [
        (np.zeros(0), 16000, "0 samples"),
        (np.zeros(800), 16000, "silent or constant"),
        (np.full(800, 0.999), 16000, "silent or constant"),
        (np.array([0.1, np.nan, np.inf, 0.2]), 16000, "2 samples are NaN or infinite"),
        (np.array([0.1, -0.1] * 100), 100, "sample rate 100 Hz"),
    ],
)
def test_unusable_audio_is_named(
    tmp_path: Path, samples: np.ndarray, rate_hz: int, found: str
) -> None:
    path = written(tmp_path / "bad.wav", samples, rate_hz)
    with pytest.raises(AudioError, match=found) as error:
        load(path, 16000)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "not.wav"
    path.write_bytes(b"RIFF but not really")
    with pytest.raises(AudioError, match="not readable as audio"):
        load(path, 16000)
    with pytest.raises(AudioError, match="not readable as audio"):
        load(tmp_path / "gone.wav", 16000)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = np.linspace(-0.5, 0.5, 100), np.linspace(0.4, -0.2, 100)
    path = written(tmp_path / "stereo.wav", np.stack([left, right], axis=1))
    np.testing.assert_allclose(load(path, 16000).numpy(), (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(44100, 16000), (8000, 16000), (22050, 16000), (16000, 32000)]
)
def test_resampling_keeps_a_tone_and_its_length(from_hz: int, to_hz: int) -> None:
    tone_hz, n = 1000.0, from_hz
    tone = torch.sin(2 * torch.pi * tone_hz * torch.arange(n) / from_hz)
    out = resample(tone, from_hz, to_hz)
    assert len(out) == resampled_length(n, from_hz, to_hz)
    expected = torch.sin(2 * torch.pi * tone_hz * torch.arange(len(out)) / to_hz)
    middle = slice(len(out) // 4, -len(out) // 4)
    torch.testing.assert_close(out[middle], expected[middle], atol=1e-3, rtol=0)


def test_resampling_removes_what_would_alias() -> None:
    tone = torch.sin(2 * torch.pi * 9500 * torch.arange(44100) / 44100)
    left = resample(tone, 44100, 16000)[1000:-1000]
    reference = scipy.signal.resample_poly(tone.numpy(), 160, 441)[1000:-1000]
    assert left.square().mean() < 1e-6
    assert left.square().mean() <= reference.var() + 1e-6
