"""From summed spectra to cutoffs with intervals.

The power gain |T(f)|² is smoothed over a third of an octave; its plateau is its largest value from
`low_hz` up. The cutoff is the first frequency above the peak where the gain falls below half the
plateau and stays below for a third of an octave. A gain that never does so within range has its
cutoff beyond `HIGH_HZ`: such a value is *censored*, and in a bootstrap it takes part by its rank.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from probe_bench.modulation.results import Estimate

__all__ = [
    "HIGH_HZ",
    "MOST_CHANCE",
    "Crossings",
    "bootstrap_weights",
    "censored",
    "chance_gain",
    "crossings",
    "interval",
    "power_gain",
    "smoothing",
    "widened",
]

HIGH_HZ = 40.0
MOST_CHANCE = 0.1  # of the largest gain may be due to chance where a gain is told
_PER_OCTAVE = 24  # grid points; a third of an octave is eight of them
_THIRD = _PER_OCTAVE // 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Smoothing:
    """A linear map from spectra to a logarithmic frequency grid, a third of an octave wide.

    Attributes:
        mod_freq_hz: The logarithmic grid from `low_hz` to `high_hz`.
        weights: Interpolation and moving average in one matrix.
    """

    mod_freq_hz: Float[Tensor, " points"]
    weights: Float[Tensor, "points freqs"]


def smoothing(
    mod_freq_hz: Float[Tensor, " freqs"], low_hz: float, high_hz: float = HIGH_HZ
) -> Smoothing:
    """Build the smoother for spectra on `mod_freq_hz`."""
    n = int(np.floor(np.log2(high_hz / low_hz) * _PER_OCTAVE)) + 1
    points = high_hz * 2.0 ** (np.arange(1 - n, 1) / _PER_OCTAVE)
    # Nine points, the outer two by half, span exactly a third of an octave around each point.
    offsets = np.arange(-_THIRD // 2, _THIRD // 2 + 1)
    share = np.where(abs(offsets) == _THIRD // 2, 0.5, 1.0) / _THIRD
    freqs = mod_freq_hz.numpy()
    weights = np.zeros((n, len(freqs)))
    for offset, part in zip(offsets, share, strict=True):
        at = np.clip(points * 2.0 ** (offset / _PER_OCTAVE), freqs[1], freqs[-1])
        right = np.clip(np.searchsorted(freqs, at), 1, len(freqs) - 1)
        slope = (at - freqs[right - 1]) / (freqs[right] - freqs[right - 1])
        weights[np.arange(n), right] += part * slope
        weights[np.arange(n), right - 1] += part * (1 - slope)
    return Smoothing(mod_freq_hz=torch.from_numpy(points), weights=torch.from_numpy(weights))


def power_gain(
    cross: Complex[Tensor, "*draws freqs"], power: Float[Tensor, "*draws freqs"], smooth: Smoothing
) -> Float[Tensor, "*draws points"]:
    """Return the smoothed |T|² of summed cross-spectra and spectra."""
    gain = cross.abs().square() / power.square().clamp(min=1e-300)
    return gain @ smooth.weights.T


def chance_gain(
    cross: Complex[Tensor, "*some freqs"],
    power: Float[Tensor, "*some freqs"],
    predicted_power: Float[Tensor, "*some freqs"],
    chance: Float[Tensor, "*some freqs"],
) -> Float[Tensor, "*some freqs"]:
    """Return how much of |T|² is due to chance.

    Of an unrelated prediction, the square of the cross-spectrum is `chance`, the sum over segments of
    the product of both spectra; of a prediction with coherence γ², the share 1 - γ² of that.
    """
    power = power.clamp(min=1e-300)
    coherence = cross.abs().square() / (power * predicted_power.clamp(min=1e-300))
    return (1 - coherence).clamp(min=0) * chance / power.square()


@dataclass(frozen=True, kw_only=True, eq=False)
class Crossings:
    """Half-power points of gain curves.

    Attributes:
        plateau: Largest gain.
        high_hz: Where the gain falls for good above its peak; infinite if beyond range.
        low_hz: Where it falls for good below its peak; 0 if beyond range.
    """

    plateau: Float[Tensor, " draws"]
    high_hz: Float[Tensor, " draws"]
    low_hz: Float[Tensor, " draws"]


def crossings(
    gain: Float[Tensor, "draws points"], mod_freq_hz: Float[Tensor, " points"]
) -> Crossings:
    """Find plateau and half-power points of every curve."""
    curves, freqs = gain.numpy(), mod_freq_hz.numpy()
    relative = curves / curves.max(1, keepdims=True)
    peak = relative.argmax(1)
    up = _first_fall(relative, peak, np.log(freqs))
    down = _first_fall(relative[:, ::-1], len(freqs) - 1 - peak, np.log(freqs[::-1]))
    return Crossings(
        plateau=gain.amax(1),
        high_hz=torch.from_numpy(np.exp(up)),
        low_hz=torch.from_numpy(np.nan_to_num(np.exp(down), posinf=0.0)),
    )


def _first_fall(
    relative: NDArray[np.float64], peak: NDArray[np.int64], log_freqs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the log frequency of the first fall below ½ after the peak that lasts; inf if none.

    A fall nearer than a third of an octave to the end lasts if it lasts to the end.
    """
    n = relative.shape[1]
    below = np.pad(relative < 0.5, ((0, 0), (0, _THIRD - 1)), constant_values=True)
    lasting = np.lib.stride_tricks.sliding_window_view(below, _THIRD, axis=1).all(-1)
    lasting &= np.arange(n) > peak[:, None]
    at = np.where(lasting.any(1), lasting.argmax(1), 1)
    each = np.arange(len(relative))
    before, after = (np.log(np.maximum(relative[each, i], 1e-300)) for i in (at - 1, at))
    # Straight line in log gain over log frequency between the two points around ½.
    share = np.clip((before - np.log(0.5)) / np.maximum(before - after, 1e-300), 0, 1)
    fall = log_freqs[at - 1] + share * (log_freqs[at] - log_freqs[at - 1])
    return np.where(lasting.any(1), fall, np.inf)


def bootstrap_weights(n_groups: int, n_draws: int, seed: int) -> Float[Tensor, "draws groups"]:
    """How often every group is drawn in every bootstrap sample of groups."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(
        rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_draws).astype(float)
    )


def interval(draws: Float[Tensor, " draws *_"], level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Return the percentile interval by ranks: no interpolation, so infinite draws may take part."""
    tail = (1 - level) / 2
    values = draws.numpy()
    low = np.quantile(values, tail, axis=0, method="lower")
    high = np.quantile(values, 1 - tail, axis=0, method="higher")
    return torch.as_tensor(low), torch.as_tensor(high)


def censored(
    draws: Float[Tensor, " draws"], lowest_hz: float, highest_hz: float, *, level: float = 0.95
) -> Estimate:
    """Censor readings outside `lowest_hz` to `highest_hz`; in the interval they take part by rank.

    Args:
        draws: Row 0 is the sample, the others are bootstrap draws.
        lowest_hz: Least cutoff that can be told.
        highest_hz: Largest cutoff that can be told.
        level: Of the percentile interval.
    """
    low, high = (float(end) for end in interval(draws[1:], level))
    value = float(draws[0])
    return Estimate(
        value=min(max(value, lowest_hz), highest_hz),
        ci_low=min(low, highest_hz) if low >= lowest_hz else None,
        ci_high=max(high, lowest_hz) if high <= highest_hz else None,
        bound="at least" if value > highest_hz else "at most" if value < lowest_hz else "",
    )


def widened(value: float | None, end: float | None, systematic: float) -> float | None:
    """Widen one end of an interval by the systematic term (negative: downwards), in quadrature of logs."""
    if value is None or end is None:
        return None
    width = math.hypot(math.log(end / value), math.log1p(abs(systematic)))
    return value * math.exp(math.copysign(width, systematic))
