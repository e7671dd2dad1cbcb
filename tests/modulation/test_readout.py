"""The fast readout against one that loops over everything."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal.windows import dpss
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.modulation.fitting import fold_of_group
from probe_bench.modulation.lag import lag_grid
from probe_bench.modulation.lowpass import low_pass
from probe_bench.modulation.readout import readout
from probe_bench.modulation.reference import Bands, band_grid
from probe_bench.modulation.support import support
from probe_bench.modulation.tokens import Tokens, flatten, without_position_mean

Array = NDArray[np.float64]
PER_TOKEN, N_GROUPS = 2, 5


def slow_axes(x: Array, most: int) -> Array:
    """Whitening axes by singular value decomposition."""
    _, s, vt = np.linalg.svd(x - x.mean(0), full_matrices=False)
    std = s[:most] / np.sqrt(len(x))
    keep = std**2 > 1e-4 * std[3] ** 2
    return (vt[: len(std)][keep] / std[keep, None]).T


def slow_readout(
    z: list[Array], y: list[Array], fold: list[int], lag: int
) -> tuple[float, list[Array], list[Array], list[list[int]]]:
    """Fit by normal equations, fold after fold, at one lag; return R², predictions and targets."""
    pairs = [
        [(n, PER_TOKEN * n + lag) for n in range(len(a)) if 0 <= PER_TOKEN * n + lag < len(b)]
        for a, b in zip(z, y, strict=True)
    ]
    error, total = 0.0, 0.0
    predictions, targets = [], []
    for clip in range(len(z)):
        train = [c for c in range(len(z)) if fold[c] != fold[clip]]
        x_train = np.concatenate([[z[c][n] for n, _ in pairs[c]] for c in train])
        y_train = np.concatenate([[y[c][m] for _, m in pairs[c]] for c in train])
        white, axes = slow_axes(x_train, 96), slow_axes(y_train, 12)
        a, b = (x_train - x_train.mean(0)) @ white, (y_train - y_train.mean(0)) @ axes
        weights = np.linalg.solve(
            a.T @ a + 1e-3 * np.trace(a.T @ a) / a.shape[1] * np.eye(a.shape[1]), a.T @ b
        )
        predicted = (
            (np.stack([z[clip][n] for n, _ in pairs[clip]]) - x_train.mean(0)) @ white @ weights
        )
        wanted = (y[clip] - y_train.mean(0)) @ axes
        at = [m for _, m in pairs[clip]]
        error += ((wanted[at] - predicted) ** 2).sum()
        total += (wanted[at] ** 2).sum()
        predictions.append(predicted)
        targets.append(wanted)
    return 1 - error / total, predictions, targets, [[m for _, m in p] for p in pairs]


def slow_spectra(
    predictions: list[Array], targets: list[Array], at: list[list[int]]
) -> tuple[Array, NDArray[np.complex128], Array]:
    """Cross-spectrum and power of every component, 512 points at 100 Hz, one taper over each clip."""
    n = targets[0].shape[1]
    cross, power = np.zeros((n, 257), complex), np.zeros((n, 257))
    for predicted, wanted, rows in zip(predictions, targets, at, strict=True):
        stuffed, centred = np.zeros_like(wanted), wanted - wanted.mean(0)
        stuffed[rows] = PER_TOKEN * (predicted - predicted.mean(0))
        stop = min(rows[0] + PER_TOKEN * len(rows), len(wanted))
        taper = dpss(stop - rows[0], 1.0, 1)[0] * np.sqrt(stop - rows[0])
        for k in range(n):
            u = np.fft.rfft(taper * stuffed[rows[0] : stop, k], 512)
            v = np.fft.rfft(taper * centred[rows[0] : stop, k], 512)
            cross[k] += u * v.conj()
            power[k] += abs(v) ** 2
    return np.fft.rfftfreq(512, 0.01), cross, power


def slow_gain(cross: NDArray[np.complex128], power: Array, level: Array | None = None) -> Array:
    """|T|² of all components together, each divided by its level."""
    level = np.ones(len(cross)) if level is None else level
    total = sum(c / a for c, a in zip(cross, level, strict=True))
    return np.asarray((abs(total) / power.sum(0)) ** 2)


def slow_levels(freqs: Array, cross: NDArray[np.complex128], power: Array, low_hz: float) -> Array:
    """Gain of every component at rates up to half of the cutoff, which is found twice."""
    level = np.ones(len(cross))
    for _ in range(2):
        cutoff = min(slow_cutoff(freqs, slow_gain(cross, power, level), low_hz), 40.0)
        slow = (freqs >= low_hz) & (freqs <= max(cutoff / 2, 2 * low_hz))
        level = np.array(
            [abs(c[slow]).sum() / p[slow].sum() for c, p in zip(cross, power, strict=True)]
        )
        level = np.maximum(level, 0.1 * level.max())
    return level


def slow_cutoff(freqs: Array, gain: Array, low_hz: float) -> float:
    """First half-power crossing on a dense grid, each point the mean over a third of an octave."""

    def smooth(f: float) -> float:
        grid = f * 2.0 ** np.linspace(-1 / 6, 1 / 6, 201)
        return float(np.mean(np.interp(grid, freqs, gain)))

    grid = np.geomspace(low_hz, 40.0, 2000)
    smoothed = np.array([smooth(f) for f in grid])
    for i in range(int(smoothed.argmax()), len(grid)):
        window = (grid >= grid[i]) & (grid <= grid[i] * 2 ** (1 / 3))
        if (smoothed[window] < smoothed.max() / 2).all():
            return float(grid[i])
    return np.inf


def small_case(log_mels: list[Tensor], cutoff_hz: float) -> tuple[Tokens, Bands, Tensor]:
    """Fifteen clips of 3 to 4 s of five speakers, low-passed, at 50 Hz and 0.06 s too late."""
    rng = torch.Generator().manual_seed(3)
    clips = [clip[: 300 + 7 * i] for i, clip in enumerate(log_mels[:15])]
    project = torch.randn(64, 32, generator=rng)
    late = [low_pass(clip, 100.0, cutoff_hz).roll(6, 0) @ project for clip in clips]
    features = [
        x[::PER_TOKEN] + 0.3 * torch.randn(x[::PER_TOKEN].shape, generator=rng) for x in late
    ]
    layer = Layer(
        name="L1", dim=32, depth=1.0, frame_rate_hz=Fraction(50), first_frame_s=Fraction(1, 80)
    )
    bands = Bands(grid=band_grid(layer), frames=without_position_mean(flatten(clips)))
    group = torch.arange(N_GROUPS).repeat_interleave(3)
    return without_position_mean(flatten(features)), bands, group


def by_clip(tokens: Tokens) -> list[Array]:
    return [x.double().numpy() for x in tokens.values.split(tokens.lengths.tolist())]


@pytest.mark.parametrize("cutoff_hz", [3.0, 9.0])
def test_agrees_with_loops_over_folds_clips_and_components(
    cutoff_hz: float, log_mels: list[Tensor]
) -> None:
    tokens, bands, group = small_case(log_mels, cutoff_hz)
    sums = readout(tokens, bands, group, n_groups=N_GROUPS)
    found = support(sums, seed=0, n_draws=20)
    z, y = by_clip(tokens), by_clip(bands.frames)
    r2, predictions, targets, at = slow_readout(z, y, group.tolist(), round(100 * sums.lag_s))
    assert found.r2.value == pytest.approx(r2, abs=1e-4)
    freqs, cross, power = slow_spectra(predictions, targets, at)
    fast_gain = (sums.cross.sum((0, 1)).abs() / sums.power.sum((0, 1))) ** 2
    np.testing.assert_allclose(fast_gain[4:], slow_gain(cross, power)[4:], rtol=0.01, atol=1e-4)
    low_hz = 1 / sums.segment_s
    level = slow_levels(freqs, cross, power, low_hz)
    expected_hz = slow_cutoff(freqs, slow_gain(cross, power, level), low_hz)
    assert found.hz.value == pytest.approx(expected_hz, rel=0.005)


def test_finds_the_lag_that_a_search_by_refitting_finds(log_mels: list[Tensor]) -> None:
    tokens, bands, group = small_case(log_mels, 6.0)
    sums = readout(tokens, bands, group, n_groups=N_GROUPS)
    z, y = by_clip(tokens), by_clip(bands.frames)
    r2 = {lag: slow_readout(z, y, group.tolist(), lag)[0] for lag in range(-12, 4, 3)}
    assert round(100 * sums.lag_s) == max(r2, key=r2.__getitem__) == -6


def test_lags_are_ten_milliseconds_apart_and_hold_zero() -> None:
    lags = lag_grid(200.0)
    assert (int(lags[0]), int(lags[-1]), int(lags[1] - lags[0])) == (-90, 40, 2)
    assert 0 in lags


def test_folds_share_no_group_and_are_even() -> None:
    fold = fold_of_group(torch.tensor([5.0, 4.0, 3.0, 3.0, 2.0, 1.0], dtype=torch.float64), 3)
    sizes = torch.bincount(fold, weights=torch.tensor([5.0, 4, 3, 3, 2, 1]).double())
    assert sizes.tolist() == [6, 6, 6]
