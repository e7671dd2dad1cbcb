"""Support as one would write it down: a loop over folds, lags, clips and components, in NumPy and SciPy.

Shares nothing with the package but tokens, reference and folds. `plain` whitens and solves anew for every
fold and lag; `thrifty` keeps each fold's components for all lags.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Complex, Float, Int
from scipy.signal import csd
from scipy.signal.windows import dpss

__all__ = ["Slow"]

RIDGE, COMPONENTS, DIMS, SEARCH_DIMS = 1e-3, 12, 96, 48
SEGMENT, N_FFT, NW = 512, 512, 1.0
PER_OCTAVE, HIGH_HZ = 24, 40.0

Array = Float[np.ndarray, "rows dim"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Slow:
    """Tokens of one layer and reference rows of the same clips, two rows a token.

    Attributes:
        tokens: One table a clip.
        bands: One table a clip.
        fold: Of every clip.
        first_token: Row of the first token.
        rate_hz: Rows per second.
    """

    tokens: list[Array]
    bands: list[Array]
    fold: Int[np.ndarray, " clips"]
    first_token: int
    rate_hz: float

    def paired(self, lag: int) -> tuple[Array, Array, Int[np.ndarray, " rows"]]:
        """Lay tokens beside the rows at a lag; the clip of each."""
        x, y, clip = [], [], []
        for i, (z, rows) in enumerate(zip(self.tokens, self.bands, strict=True)):
            at, there = self._rows(i, lag)
            x.append(z[there])
            y.append(rows[at[there]])
            clip.append(np.full(there.sum(), i))
        tables = (np.concatenate(part).astype(float) for part in (x, y))
        return *tables, np.concatenate(clip)

    def _rows(
        self, clip: int, lag: int
    ) -> tuple[Int[np.ndarray, " tokens"], Bool[np.ndarray, " tokens"]]:
        """Row of every token of a clip, and whether it is in the clip."""
        at = self.first_token + 2 * np.arange(len(self.tokens[clip])) + lag
        return at, (at >= 0) & (at < len(self.bands[clip]))

    def explained(self, lag: int, fold: int) -> tuple[float, float]:
        """Plain: whiten and solve for one fold and lag; held-out error and power."""
        x, y, clip = self.paired(lag)
        held = self.fold[clip] == fold
        predicted, wanted = _predict(x[~held], y[~held], x[held], y[held], SEARCH_DIMS)
        return float(np.square(wanted - predicted).sum()), float(np.square(wanted).sum())

    def thrifty_lag(self, lags: Int[np.ndarray, " lags"]) -> int:
        """Find the best lag; components of each fold are those of all its training tokens."""
        error, total = np.zeros(len(lags)), np.zeros(len(lags))
        every = np.concatenate(self.tokens).astype(float)
        clips = np.repeat(np.arange(len(self.tokens)), [len(z) for z in self.tokens])
        for k in np.unique(self.fold):
            train = every[self.fold[clips] != k]
            axes, mean = _whitener(train, SEARCH_DIMS), train.mean(0)
            whole = [(z - mean) @ axes for z in self.tokens]
            inner = replace(self, tokens=whole)
            for j, lag in enumerate(lags.tolist()):
                x, y, clip = inner.paired(lag)
                held = self.fold[clip] == k
                predicted, wanted = _ridge(x[~held], y[~held], x[held], y[held])
                error[j] += np.square(wanted - predicted).sum()
                total[j] += np.square(wanted).sum()
        return int(lags[np.argmin(error / total)])

    def cutoff_hz(self, lag: int) -> float:
        """Predict every fold at one lag, transform clip by clip, find where the gain halves."""
        x, y, clip = self.paired(lag)
        predicted, wanted = np.zeros((len(x), COMPONENTS)), list(self.bands)
        for k in np.unique(self.fold):
            held = self.fold[clip] == k
            train_y = y[~held]
            axes, mean = _whitener(train_y, COMPONENTS), train_y.mean(0)
            predicted[held], _ = _predict(x[~held], train_y, x[held], y[held], DIMS)
            for i in np.flatnonzero(self.fold == k):
                wanted[i] = (self.bands[i] - mean) @ axes
        cross, power = self._spectra(predicted, wanted, clip, lag)
        freqs = np.fft.rfftfreq(N_FFT, 1 / self.rate_hz)
        return _levelled_hz(cross, power, freqs, self._low_hz())

    def _low_hz(self) -> float:
        both = zip(self.tokens, self.bands, strict=True)
        length = np.median([min(2 * len(z), len(rows), SEGMENT) for z, rows in both])
        return max(0.3, NW * self.rate_hz / float(length))

    def _spectra(
        self, predicted: Array, wanted: list[Array], clip: Int[np.ndarray, " rows"], lag: int
    ) -> tuple[Complex[np.ndarray, "components freqs"], Float[np.ndarray, "components freqs"]]:
        shape = (COMPONENTS, N_FFT // 2 + 1)
        cross, power = np.zeros(shape, complex), np.zeros(shape)
        for i, rows in enumerate(wanted):
            at, there = self._rows(i, lag)
            signal, stuffed, own = rows - rows.mean(0), np.zeros_like(rows), predicted[clip == i]
            stuffed[at[there]] = 2 * (own - own.mean(0))
            first = int(at[there][0])
            for part in _segments(first, min(2 * len(own), len(rows) - first)):
                n = part.stop - part.start
                how = {"fs": self.rate_hz, "window": dpss(n, NW), "nperseg": n, "nfft": N_FFT}
                for k in range(COMPONENTS):
                    one, other = stuffed[part, k], signal[part, k]
                    cross[k] += n * csd(other, one, detrend=False, **how)[1]
                    power[k] += n * csd(other, other, detrend=False, **how)[1].real
        return cross, power


def _segments(start: int, length: int) -> Iterator[slice]:
    """At most 5.12 s, evenly spread, overlapping by half or more."""
    extra = max(0, length - SEGMENT)
    count = 1 + -(-2 * extra // SEGMENT)
    for i in range(count):
        offset = start + extra * i // max(1, count - 1)
        yield slice(offset, offset + min(length, SEGMENT))


def _whitener(x: Array, most: int) -> Array:
    variance, axes = np.linalg.eigh(np.cov(x.T, bias=True))
    variance, axes = variance[::-1][:most], axes[:, ::-1][:, :most]
    kept = variance > max(1e-4 * variance[min(3, len(variance) - 1)], 1e-10 * variance[0])
    return axes[:, kept] / np.sqrt(variance[kept])


def _predict(x: Array, y: Array, held_x: Array, held_y: Array, dims: int) -> tuple[Array, Array]:
    axes = _whitener(x, dims)
    return _ridge(x @ axes, y, held_x @ axes, held_y)


def _ridge(x: Array, y: Array, held_x: Array, held_y: Array) -> tuple[Array, Array]:
    """Predict the held-out components of y; the true ones."""
    x_mean, y_mean, axes = x.mean(0), y.mean(0), _whitener(y, COMPONENTS)
    centred = x - x_mean
    penalty = RIDGE * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(centred.T @ centred + penalty, centred.T @ ((y - y_mean) @ axes))
    return (held_x - x_mean) @ weights, (held_y - y_mean) @ axes


def _levelled_hz(
    cross: Complex[np.ndarray, "components freqs"],
    power: Float[np.ndarray, "components freqs"],
    freqs: Float[np.ndarray, " freqs"],
    low_hz: float,
) -> float:
    """Cutoff of all components, each on the level of its gain up to half of the cutoff before."""
    level = np.ones(COMPONENTS)
    for turn in range(3):
        total = sum(c / a for c, a in zip(cross, level, strict=True))
        cutoff_hz = _half_power_hz(np.square(abs(total) / power.sum(0)), freqs, low_hz)
        if turn < 2:
            slow = (freqs >= low_hz) & (freqs <= max(min(cutoff_hz, HIGH_HZ) / 2, 2 * low_hz))
            pairs = zip(cross, power, strict=True)
            level = np.array([abs(c[slow]).sum() / p[slow].sum() for c, p in pairs])
            level = np.maximum(level, 0.1 * level.max())
    return cutoff_hz


def _half_power_hz(
    gain: Float[np.ndarray, " freqs"], freqs: Float[np.ndarray, " freqs"], low_hz: float
) -> float:
    """Smooth over a third of an octave; where the gain falls below half of its plateau for good."""
    n = int(np.floor(np.log2(HIGH_HZ / low_hz) * PER_OCTAVE)) + 1
    grid = HIGH_HZ * 2.0 ** (np.arange(1 - n, 1) / PER_OCTAVE)
    share = np.array([0.5, *[1] * 7, 0.5]) / 8
    smooth = np.array(
        [share @ np.interp(f * 2 ** (np.arange(-4, 5) / PER_OCTAVE), freqs, gain) for f in grid]
    )
    relative = smooth / smooth.max()
    for i in range(int(relative.argmax()) + 1, n):
        if (relative[i : i + 8] < 0.5).all():
            at = np.interp(np.log(2), -np.log(relative[i - 1 : i + 1]), np.log(grid[i - 1 : i + 1]))
            return float(np.exp(at))
    return float("inf")
