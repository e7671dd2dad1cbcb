"""Voices made of formants that move, and ways to change a recording without changing the sound."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

RATE_HZ = 16000


def voice(sentence: int, take: int, duration_s: float = 3.0) -> np.ndarray:
    """Say a sentence: syllables of fixed formants; a take has its own timing, pitch and noise."""
    text, rng = np.random.default_rng([0, sentence]), np.random.default_rng([1, sentence, take])
    n = int(duration_s * RATE_HZ)
    syllables = text.uniform(300, 3000, size=(int(4 * duration_s) + 4, 3))
    ends = np.cumsum(rng.uniform(0.16, 0.34, size=len(syllables)))
    centres = syllables[np.searchsorted(ends, np.arange(n) / RATE_HZ)]
    smooth = np.hanning(800) / np.hanning(800).sum()
    centres = np.stack([np.convolve(track, smooth, mode="same") for track in centres.T])
    pitch = rng.uniform(100, 200) * (1 + 0.1 * np.sin(np.arange(n) / RATE_HZ * rng.uniform(3, 9)))
    carrier = np.cumsum(pitch) / RATE_HZ * 2 * np.pi
    sound = rng.standard_normal(n) * 0.02
    for harmonic in range(1, 25):
        level = np.exp(-(((harmonic * pitch - centres) / 150) ** 2)).sum(axis=0)
        sound += level * np.sin(harmonic * carrier)
    return (0.1 * sound / np.abs(sound).std()).clip(-1, 1).astype(np.float32)


def encoded(samples: np.ndarray, **options: object) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, **options)
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def noise(samples: np.ndarray, snr_db: float) -> np.ndarray:
    white = np.random.default_rng(2).standard_normal(len(samples))
    return (samples + samples.std() * 10 ** (-snr_db / 20) * white).astype(np.float32)


def resampled(samples: np.ndarray, up: int, down: int) -> np.ndarray:
    return scipy.signal.resample_poly(samples, up, down).astype(np.float32)


CHANGES: dict[str, Callable[[np.ndarray], tuple[np.ndarray, int]]] = {
    "gain": lambda x: (0.03 * x, RATE_HZ),
    "turned over": lambda x: (-x, RATE_HZ),
    "16 bit": lambda x: ((np.round(x * 3277) / 32767).astype(np.float32), RATE_HZ),
    "44.1 kHz": lambda x: (resampled(x, 441, 160), 44100),
    "8 kHz": lambda x: (resampled(x, 1, 2), 8000),
    "mp3": lambda x: (encoded(x, format="MP3"), RATE_HZ),
    "vorbis": lambda x: (encoded(x, format="OGG", subtype="VORBIS"), RATE_HZ),
    "trimmed": lambda x: (x[3001:-1500], RATE_HZ),
    "noise": lambda x: (noise(x, 20), RATE_HZ),
}


@pytest.fixture(scope="session")
def takes() -> dict[tuple[int, int], np.ndarray]:
    """Six sentences, four takes of each."""
    return {(s, t): voice(s, t) for s in range(6) for t in range(4)}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a recording below the test's folder."""

    def to(name: str, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate_hz)
        return path

    return to


@pytest.fixture(scope="session")
def changes() -> dict[str, Callable[[np.ndarray], tuple[np.ndarray, int]]]:
    """Ways to change samples; each returns samples and their rate."""
    return CHANGES
