"""Long-term average spectrum of a corpus, the shape of its own masking noise."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy import signal

from probe_bench.audio import read
from probe_bench.degradations.level import rms

__all__ = ["LongTermSpectrum", "long_term_spectrum"]

_SEGMENT_S = 0.032
_MOST_CLIPS = 500


@dataclass(frozen=True, kw_only=True)
class LongTermSpectrum:
    """Mean power density over frequency, the mean over clips of equal level.

    Attributes:
        frequency_hz: Ascending, from 0.
        power: Density at these frequencies.
    """

    frequency_hz: Float[np.ndarray, " bins"]
    power: Float[np.ndarray, " bins"]

    def __call__(self, frequency_hz: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Power density at any frequencies; none beyond what the corpus holds."""
        density: Float[np.ndarray, " n"] = np.interp(
            frequency_hz, self.frequency_hz, self.power, right=0.0
        )
        return density


def long_term_spectrum(paths: Sequence[Path], threads: int = 4) -> LongTermSpectrum:
    """Measure the spectrum of a corpus by Welch's method (32 ms), no label read.

    Args:
        paths: Its recordings, of any sample rates; of more than 500, 500 at even distances.
        threads: Files decoded at once.
    """
    n = min(len(paths), _MOST_CLIPS)
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(_density, [paths[i * len(paths) // n] for i in range(n)]))
    grid = np.arange(0, max(frequency[-1] for frequency, _ in found) + 1, 1 / _SEGMENT_S)
    # A recording says nothing of what lies beyond its own Nyquist rate.
    columns = np.array([np.interp(grid, f, power, right=np.nan) for f, power in found])
    return LongTermSpectrum(frequency_hz=grid, power=np.nanmean(columns, axis=0))


def _density(path: Path) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Power density of one recording at an RMS of 1, with its frequencies in Hz."""
    samples, rate_hz = read(path)
    segment = min(len(samples), round(_SEGMENT_S * rate_hz))
    frequency, power = signal.welch(samples.astype(np.float64), rate_hz, nperseg=segment)
    return frequency, power / rms(samples) ** 2
