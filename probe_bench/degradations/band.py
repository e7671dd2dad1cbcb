"""Bandwidth limitation: linear-phase filters without delay, so labels in time stay where they are."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Float32
from scipy import signal

from probe_bench.degradations.level import at_level_of

__all__ = ["low_pass", "telephone"]

_STOP_DB = 80.0
_WIDTH = 0.1  # transition from pass to stop, as a share of the cutoff and centred on it
_TELEPHONE_FROM_HZ = 300.0
_TELEPHONE_WIDTH_HZ = 100.0


def low_pass(
    samples: Float32[np.ndarray, " samples"], rate_hz: int, cutoff_hz: float
) -> Float32[np.ndarray, " samples"]:
    """Remove everything above a cutoff (-6 dB there, 80 dB from 1.05 times of it on)."""
    if cutoff_hz >= rate_hz / 2:
        return samples
    return _filtered(samples, rate_hz, [cutoff_hz], "lowpass", _WIDTH * cutoff_hz)


def telephone(
    samples: Float32[np.ndarray, " samples"], rate_hz: int, cutoff_hz: float
) -> Float32[np.ndarray, " samples"]:
    """Keep what a telephone line carries: from 300 Hz to a cutoff of (classically) 3.4 kHz."""
    if cutoff_hz >= rate_hz / 2:
        return _filtered(samples, rate_hz, [_TELEPHONE_FROM_HZ], "highpass", _TELEPHONE_WIDTH_HZ)
    edges_hz = [_TELEPHONE_FROM_HZ, cutoff_hz]
    return _filtered(samples, rate_hz, edges_hz, "bandpass", _TELEPHONE_WIDTH_HZ)


def _filtered(
    samples: Float32[np.ndarray, " samples"],
    rate_hz: int,
    edges_hz: list[float],
    kind: Literal["lowpass", "highpass", "bandpass"],
    width_hz: float,
) -> Float32[np.ndarray, " samples"]:
    taps, beta = signal.kaiserord(_STOP_DB, width_hz / (rate_hz / 2))
    kernel: Float[np.ndarray, " taps"] = signal.firwin(
        taps | 1, edges_hz, window=("kaiser", beta), pass_zero=kind, fs=rate_hz
    )
    # Centred on the odd number of symmetric taps, a convolution delays nothing.
    kept = signal.fftconvolve(samples.astype(np.float64), kernel, mode="full")
    start = len(kernel) // 2
    return at_level_of(samples, kept[start : start + len(samples)])
