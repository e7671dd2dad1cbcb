"""Computed sound for the smallest studies: no corpus, no files."""

import numpy as np

from probe_bench.encoders.pretraining.data.tape import Tape

__all__ = ["tone_tape"]


def tone_tape(*, clips: int = 40, seconds: float = 1.5, seed: int = 0) -> Tape:
    """Make clips of modulated harmonic tones in noise at 16 kHz, every clip with its own voice."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    pieces = [_clip(time_s, rng) for _ in range(clips)]
    length = len(time_s)
    return Tape(
        samples=np.concatenate(pieces),
        lengths=np.full(clips, length),
    )


def _clip(time_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pitch_hz, tilt = rng.uniform(80, 320), rng.uniform(0.4, 1.2)
    drift = 1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 3) * time_s + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch_hz * drift) / 16_000
    voice = sum(k**-tilt * np.sin(k * phase) for k in range(1, 12))
    envelope = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(2, 8) * time_s + rng.uniform(0, 6))
    sound = voice * envelope + 0.05 * rng.standard_normal(len(time_s))
    scaled: np.ndarray = np.round(0.5 * 32767 * sound / np.abs(sound).max()).astype(np.int16)
    return scaled
