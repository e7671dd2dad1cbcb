"""Level of a waveform, and how a degraded one gets back to that of the clean one."""

import numpy as np
from jaxtyping import Float, Float32

__all__ = ["at_level_of", "rms"]

_LARGEST_GAIN = 100.0  # 40 dB: where less is left, more gain would only show rounding


def rms(samples: Float[np.ndarray, " samples"]) -> float:
    """Root mean square over the whole waveform, pauses and all (float64)."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def at_level_of(
    clean: Float[np.ndarray, " samples"], degraded: Float[np.ndarray, " samples"]
) -> Float32[np.ndarray, " samples"]:
    """Bring a degraded waveform to the RMS of the clean one.

    What a probe then loses is due to the degradation and not to level. Samples may pass +-1: they
    are floats and nothing clips them. Where a degradation left almost nothing, gain ends at 40 dB.
    """
    left = rms(degraded)
    gain = min(rms(clean) / left, _LARGEST_GAIN) if left > 0 else 1.0
    return (gain * degraded).astype(np.float32)
