"""Crossings against closed forms and a loop; intervals by rank."""

import numpy as np
import pytest
import torch

from probe_bench.modulation.cutoff import (
    bootstrap_weights,
    crossings,
    interval,
    power_gain,
    smoothing,
)

FREQS = torch.arange(257, dtype=torch.float64) * 100 / 512


def found(*gains: torch.Tensor) -> tuple[list[float], list[float]]:
    smooth = smoothing(FREQS, 0.3)
    cross = torch.stack(gains).sqrt().to(torch.complex128)
    curves = power_gain(cross, torch.ones_like(cross.real), smooth)
    result = crossings(curves, smooth.mod_freq_hz)
    return result.high_hz.tolist(), result.low_hz.tolist()


@pytest.mark.parametrize("cutoff_hz", [1.0, 4.0, 15.0, 38.0])
def test_low_pass_falls_to_half_at_its_cutoff(cutoff_hz: float) -> None:
    high, low = found(1 / (1 + (FREQS / cutoff_hz) ** 8))
    assert high[0] == pytest.approx(cutoff_hz, rel=0.015)
    assert low[0] == 0


def test_band_pass_has_both_ends() -> None:
    gain = 1 / (1 + (FREQS / 12) ** 8) / (1 + (2 / FREQS.clamp(min=0.01)) ** 8)
    high, low = found(gain)
    assert high[0] == pytest.approx(12, rel=0.02)
    assert low[0] == pytest.approx(2, rel=0.02)


def test_all_pass_is_infinite_and_a_notch_is_no_cutoff() -> None:
    flat = torch.ones_like(FREQS)
    notch = flat - 0.98 * torch.exp(-(((FREQS / 8).clamp(min=0.01).log2() / 0.1) ** 2))
    high, low = found(flat, notch, 1e-3 * flat)
    assert high == [np.inf] * 3
    assert low == [0.0] * 3


def test_smoothing_leaves_constants_and_keeps_rows_apart() -> None:
    smooth = smoothing(FREQS, 0.5)
    torch.testing.assert_close(smooth.weights.sum(1), torch.ones_like(smooth.mod_freq_hz))
    assert smooth.mod_freq_hz[0] >= 0.5
    assert smooth.mod_freq_hz[-1] == 40


def test_crossing_equals_a_loop_on_rough_curves() -> None:
    rng = np.random.default_rng(0)
    freqs = np.geomspace(0.5, 40, 150)
    for _ in range(50):
        shape = 1 / (1 + (freqs / rng.uniform(2, 30)) ** 3)
        curve = shape * np.exp(0.3 * rng.standard_normal(150))
        below = curve < curve.max() / 2
        starts = (i for i in range(curve.argmax() + 1, 150) if below[i : i + 8].all())
        i = next(starts, None)
        result = crossings(torch.from_numpy(curve)[None], torch.from_numpy(freqs))
        if i is None:
            assert result.high_hz.item() == np.inf
        else:
            assert freqs[i - 1] <= result.high_hz.item() <= freqs[i]


def test_infinite_draws_take_part_by_rank() -> None:
    draws = torch.cat([torch.arange(96, dtype=torch.float64), torch.full((4,), torch.inf)])
    low, high = interval(draws)
    assert (float(low), float(high)) == (2.0, np.inf)
    low, high = interval(draws[:99].clone().sort(descending=True).values)
    assert (float(low), float(high)) == (2.0, np.inf)
    assert float(interval(draws[:97])[1]) == 94


def test_bootstrap_interval_covers_a_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(300):
        sample = torch.from_numpy(rng.standard_normal(30))
        low, high = interval(bootstrap_weights(30, 400, seed) @ sample / 30)
        hits += bool(low <= 0 <= high)
    assert 0.89 < hits / 300 < 0.98
