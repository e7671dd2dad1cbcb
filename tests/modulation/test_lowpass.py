"""Pseudo-encoders have the gain they claim."""

import pytest
import torch
from scipy.signal import butter, sosfreqz

from probe_bench.modulation.lowpass import (
    causal_low_pass,
    low_pass,
    mean_pool,
    mean_pool_cutoff_hz,
)


def tone(freq_hz: float, rate_hz: float = 100.0, n: int = 4000) -> torch.Tensor:
    return torch.cos(2 * torch.pi * freq_hz * torch.arange(n)[:, None].double() / rate_hz)


@pytest.mark.parametrize("freq_hz", [2.0, 5.0, 8.0, 11.0])
def test_zero_phase_gain_is_butterworth(freq_hz: float) -> None:
    passed = low_pass(tone(freq_hz), 100.0, 5.0)[1000:3000]
    expected = (1 + (freq_hz / 5) ** 8) ** -0.5 * tone(freq_hz)[1000:3000]
    torch.testing.assert_close(passed, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("freq_hz", [2.0, 5.0, 11.0])
def test_causal_gain_is_scipys_and_the_past_does_not_see_the_future(freq_hz: float) -> None:
    passed = causal_low_pass(tone(freq_hz), 100.0, 5.0)
    _, response = sosfreqz(butter(4, 5.0, fs=100.0, output="sos"), worN=[freq_hz], fs=100.0)
    assert passed[2000:].abs().max() == pytest.approx(abs(response[0]), rel=0.02)
    cut = tone(freq_hz)
    cut[500:] = 9
    torch.testing.assert_close(causal_low_pass(cut, 100.0, 5.0)[:500], passed[:500])


def test_constant_frames_stay_as_they_are() -> None:
    frames = torch.full((2, 50, 3), 7.0)
    torch.testing.assert_close(low_pass(frames, 100.0, 4.0), frames)
    torch.testing.assert_close(causal_low_pass(frames, 100.0, 4.0), frames)
    torch.testing.assert_close(mean_pool(frames, 8), frames[:, :6])


def test_mean_pool_averages_and_halves_power_at_its_cutoff() -> None:
    frames = torch.arange(10.0)[:, None]
    assert mean_pool(frames, 4).flatten().tolist() == [1.5, 5.5]
    cutoff_hz = mean_pool_cutoff_hz(0.16)
    fine = tone(cutoff_hz, 10_000.0, 160_000)
    power = mean_pool(fine, 1600).square().mean() / 0.5
    pooled_at_all_phases = fine.unfold(0, 1600, 7).mean(-1).square().mean() / 0.5
    assert float(pooled_at_all_phases) == pytest.approx(0.5, rel=0.01)
    assert float(power) == pytest.approx(0.5, rel=0.05)
