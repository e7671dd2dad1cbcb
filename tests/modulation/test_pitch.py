"""Pitch of sounds whose pitch is known, and each step against a loop."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from probe_bench.modulation.pitch import _autocorrelation, _cheapest_path, pitch

RATE_HZ = 16_000
CENTRES_S = torch.arange(0, 1.5, 0.01, dtype=torch.float64)


def voice(octaves: torch.Tensor) -> torch.Tensor:
    """Harmonics falling by 6 dB an octave up to 6 kHz, with a little noise."""
    phase = 2 * torch.pi * (2**octaves).cumsum(0) / RATE_HZ
    n = int(6000 / 2 ** float(octaves.max()))
    sound = sum(torch.sin(k * phase) / k for k in range(1, n + 1))
    rng = torch.Generator().manual_seed(0)
    return (0.1 * sound + 1e-3 * torch.randn(len(octaves), generator=rng)).float()


def seconds(duration_s: float) -> torch.Tensor:
    return torch.arange(round(duration_s * RATE_HZ), dtype=torch.float64) / RATE_HZ


@pytest.mark.parametrize("hz", [75, 120, 233, 400, 555])
def test_finds_a_steady_pitch_to_a_thousandth(hz: float) -> None:
    found = pitch(voice(torch.full_like(seconds(1.5), np.log2(hz))), RATE_HZ, CENTRES_S)
    assert found.voiced.float().mean() > 0.95
    np.testing.assert_allclose(found.hz[found.voiced], hz, rtol=1e-3)


@pytest.mark.parametrize("rate_hz", [3.0, 6.0])
def test_follows_vibrato(rate_hz: float) -> None:
    def octaves(at: torch.Tensor) -> torch.Tensor:
        return np.log2(150) + 0.1 * torch.sin(2 * torch.pi * rate_hz * at)

    found = pitch(voice(octaves(seconds(1.5))), RATE_HZ, CENTRES_S)
    error = found.hz.log2() - octaves(CENTRES_S)
    assert error[found.voiced].abs().max() < 0.005


def test_noise_silence_and_edges_have_no_pitch() -> None:
    rng = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(len(seconds(1.5)), generator=rng)
    assert not pitch(noise, RATE_HZ, CENTRES_S).voiced.any()
    assert not pitch(torch.zeros_like(noise), RATE_HZ, CENTRES_S).voiced.any()
    assert not pitch(noise[:300], RATE_HZ, CENTRES_S[:2]).voiced.any()
    half = voice(torch.full_like(seconds(1.5), 7.0))
    half[len(half) // 2 :] = 1e-4 * noise[len(half) // 2 :]
    voiced = pitch(half, RATE_HZ, CENTRES_S).voiced
    # The window of 50 ms has to fit, and half of it to hold voice.
    assert voiced[3:74].all()
    assert not voiced[:2].any()
    assert not voiced[77:].any()


def test_autocorrelation_equals_a_loop_over_lags(waveforms: tuple[list[torch.Tensor], ...]) -> None:
    n, longest = 800, 267
    frames = waveforms[0][0][8000 : 8000 + 40 * n].view(40, n)
    found = _autocorrelation(frames, longest)
    taper = np.hanning(n)
    x = frames.double().numpy() * taper
    for lag in (0, 1, 50, 160, longest):
        own = (taper[: n - lag] * taper[lag:]).sum() / (taper**2).sum()
        expected = (x[:, : n - lag] * x[:, lag:]).sum(1) / (x**2).sum(1) / own
        np.testing.assert_allclose(found[:, lag], expected, atol=2e-3 if lag > 200 else 1e-4)


def test_path_is_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(0)
    strength, cost = rng.standard_normal((6, 3)), rng.uniform(0, 1, (5, 3, 3))

    def worth(path: tuple[int, ...]) -> float:
        gained = sum(strength[i, k] for i, k in enumerate(path))
        return gained - sum(cost[i, a, b] for i, (a, b) in enumerate(pairwise(path)))

    best = max(product(range(3), repeat=6), key=worth)
    assert tuple(_cheapest_path(strength, cost)) == best
