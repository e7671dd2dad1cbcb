"""A stand-in for speech: filtered noise whose level moves at syllable rate."""

from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import Float32
from scipy import signal

Make = Callable[..., Float32[np.ndarray, " samples"]]


@pytest.fixture
def speech() -> Make:
    """`speech(rate_hz, seconds=1.5, seed=0)`."""

    def make(rate_hz: int, seconds: float = 1.5, seed: int = 0) -> Float32[np.ndarray, " samples"]:
        rng = np.random.default_rng(seed)
        n = round(seconds * rate_hz)
        sound = signal.lfilter([1], [1, -0.8], rng.standard_normal(n))
        sound *= 0.05 * (1.05 + np.sin(2 * np.pi * 4 * np.arange(n) / rate_hz))
        return sound.astype(np.float32)

    return make
