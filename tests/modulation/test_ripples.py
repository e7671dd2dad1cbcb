"""Ripples arrive at the rate, density and depth they were asked for; tones can be told apart."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from probe_bench.encoder import Layer
from probe_bench.modulation.responses import analyser
from probe_bench.modulation.ripples import DENSITIES, Ripples, draw_ripples, impose
from probe_bench.modulation.tones import choose_tones, lacking

RATE_HZ = 16_000


def carrier(pitch_hz: float, seconds: float = 4.0) -> torch.Tensor:
    time_s = torch.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return torch.sin(2 * torch.pi * pitch_hz * time_s)[None]


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("pitch_hz", [2000.0, 4000.0])
def test_a_sine_gets_the_envelope_that_the_formula_gives(density: float, pitch_hz: float) -> None:
    freqs = torch.tensor([1.0, 3.0]).double()
    ripples = Ripples(
        mod_freq_hz=freqs,
        density=torch.full((1, 2), density).double(),
        phase=torch.tensor([[0.3, 2.0]]).double(),
    )
    sine = carrier(pitch_hz)
    plus, minus = impose(sine, RATE_HZ, ripples)
    time_s = torch.arange(sine.shape[1]) / RATE_HZ
    expected = 0.08 * sum(
        torch.sin(2 * torch.pi * (f * time_s + density * np.log2(pitch_hz)) + phase)
        for f, phase in zip((1.0, 3.0), (0.3, 2.0), strict=True)
    )
    # The quotient of the two signs is e^{2m}; zeros of the sine say nothing.
    loud = (sine[0].abs() > 0.5) & (time_s > 0.1) & (time_s < 3.9)
    found = 0.5 * (plus / minus).abs().log()[0][loud]
    torch.testing.assert_close(found, expected[loud].float(), atol=0.004, rtol=0)


def test_without_depth_the_sound_stays_as_it_is() -> None:
    noise = 0.1 * torch.randn(2, 20_000, generator=torch.Generator().manual_seed(0))
    ripples = draw_ripples(choose_tones(Fraction(1), [Fraction(50)]), 2, 0)
    for sign in impose(noise, RATE_HZ, ripples, amplitude=0.0):
        torch.testing.assert_close(sign, noise, atol=1e-6, rtol=0)


def test_densities_go_round_and_phases_are_drawn_anew() -> None:
    ripples = draw_ripples(torch.arange(1.0, 19.0), 16, 3)
    counts = torch.stack([(ripples.density == d).sum(0) for d in DENSITIES])
    assert counts.min() >= 5
    assert len(ripples.phase.unique()) == 16 * 18
    again = draw_ripples(torch.arange(1.0, 19.0), 16, 3)
    assert torch.equal(ripples.phase, again.phase)
    assert torch.equal(ripples.part(slice(2, 4)).phase, ripples.phase[2:4])


@pytest.mark.parametrize("duration_s", [Fraction(10), Fraction(32160, 16000), Fraction(13, 3)])
@pytest.mark.parametrize("rates", [["100"], ["50"], ["25"], ["25/2"], ["25/4", "50"], ["75", "40"]])
def test_no_two_tones_share_an_alias(duration_s: Fraction, rates: list[str]) -> None:
    rates_hz = [Fraction(rate) for rate in rates]
    tones = choose_tones(duration_s, rates_hz)
    cycles = tones * float(duration_s)
    torch.testing.assert_close(cycles, cycles.round())
    assert tones[0] >= max(0.4, 1 / float(duration_s)) - 1e-9
    assert tones[-1] <= 36
    for rate_hz in rates_hz:
        rest = tones % float(rate_hz)
        seen = torch.minimum(rest, float(rate_hz) - rest).sort().values * float(duration_s)
        assert seen.diff().min() > 0.98
        assert seen[0] > 0.98


def test_ten_seconds_at_the_usual_rates_have_eighteen_tones() -> None:
    for rate in ("100", "50", "25"):
        tones = choose_tones(Fraction(10), [Fraction(rate)])
        assert len(tones) == 18
        assert tones[0] == pytest.approx(0.4)
        assert tones[-1] == pytest.approx(32, rel=0.03)
        assert lacking(tones, []) == ""


@pytest.mark.parametrize(("rate", "n_frames"), [("50", 498), ("25/2", 124), ("100/3", 331)])
def test_the_fit_recovers_tones_above_and_below_half_the_frame_rate(
    rate: str, n_frames: int
) -> None:
    rate_hz, first_s = Fraction(rate), Fraction(37, 1000)
    layer = Layer(name="L1", dim=3, depth=1.0, frame_rate_hz=rate_hz, first_frame_s=first_s)
    tones = choose_tones(Fraction(10), [rate_hz])
    rng = torch.Generator().manual_seed(0)
    wanted = torch.randn(len(tones), 3, generator=rng, dtype=torch.complex128)
    time_s = float(first_s) + torch.arange(n_frames).double() / float(rate_hz)
    waves = torch.exp(2j * torch.pi * time_s[:, None] * tones)
    frames = 5 + (waves @ wanted).real
    found = analyser(layer, n_frames, tones) @ frames.to(torch.complex128)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
