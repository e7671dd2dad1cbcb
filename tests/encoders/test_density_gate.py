"""The density gate against a slow loop, at its limits, and in bfloat16."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from probe_bench.encoders.density_jepa.gate import DensityGate, mixture_density

OFFSETS, RAW = torch.tensor([-0.7, 0.1, 0.9]), torch.tensor([-0.5, 0.3, 1.2])


def _slow(scores: np.ndarray, offsets: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Each frame of each clip in float64, by the definition of a mixture density."""
    out = np.empty_like(scores)
    for b, row in enumerate(scores):
        mean, sigma = row.mean(), math.sqrt(max(row.var(), 1e-6))
        for t, a in enumerate(row):
            total = 0.0
            for delta, nu in zip(offsets, raw, strict=True):
                width = math.log1p(math.exp(nu)) + 1e-3
                z = (a - mean - delta) / (sigma * width)
                total += math.exp(-z * z / 2) / (width * math.sqrt(2 * math.pi))
            out[b, t] = total / len(offsets)
    return out


def test_density_agrees_with_a_loop_in_float64() -> None:
    scores = torch.randn(3, 17, generator=torch.Generator().manual_seed(0)) * 2 + 5
    expected = _slow(scores.double().numpy(), OFFSETS.double().numpy(), RAW.double().numpy())
    got = mixture_density(scores, OFFSETS, RAW)
    np.testing.assert_allclose(got.numpy(), expected, rtol=2e-4, atol=1e-7)


def test_one_component_is_the_normal_density_of_the_standardised_scores() -> None:
    scores = torch.randn(1, 40, generator=torch.Generator().manual_seed(1)).double()
    width = math.log(2) + 1e-3  # softplus(0) = log 2
    z = (scores - scores.mean()) / scores.std(correction=0)
    expected = torch.from_numpy(scipy.stats.norm(0, width).pdf(z))
    got = mixture_density(scores, torch.zeros(1), torch.zeros(1))
    torch.testing.assert_close(got.double(), expected, atol=1e-5, rtol=1e-4)


def test_a_constant_clip_has_the_density_of_the_mean() -> None:
    widths = torch.nn.functional.softplus(RAW) + 1e-3
    expected = (1 / (widths * math.sqrt(2 * math.pi))).mean()
    got = mixture_density(torch.full((2, 9), 3.0), torch.zeros(3), RAW)
    torch.testing.assert_close(got, expected.expand(2, 9))


def test_the_density_is_bounded_by_the_narrowest_component() -> None:
    generator = torch.Generator().manual_seed(2)
    for scale in (1e-6, 1.0, 1e6):
        scores = torch.randn(4, 50, generator=generator) * scale
        for narrowest in (-20.0, -3.0, 2.0):
            raw = torch.tensor([narrowest, 3.0])
            width = math.log1p(math.exp(narrowest)) + 1e-3
            density = mixture_density(scores, torch.tensor([0.0, 0.5]), raw)
            assert density.isfinite().all()
            assert density.max() <= 1.0001 / (width * math.sqrt(2 * math.pi))


def test_scale_and_level_of_the_scores_do_not_matter_without_offsets() -> None:
    scores = torch.randn(2, 30, generator=torch.Generator().manual_seed(3))
    once = mixture_density(scores, torch.zeros(2), RAW[:2])
    torch.testing.assert_close(
        mixture_density(scores * 7 - 40, torch.zeros(2), RAW[:2]), once, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("value", [0.0, 1e4])
def test_bfloat16_input_gives_finite_output_and_gradients(value: float) -> None:
    gate = DensityGate(6)
    x = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(4)) * value
    with torch.autocast("cpu", torch.bfloat16):
        gated = gate(x.bfloat16().requires_grad_())
    assert gated.dtype == torch.bfloat16
    gated.float().square().mean().backward()
    assert gated.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in gate.parameters())


def test_the_gate_starts_near_the_identity_and_reads_its_own_clip_alone() -> None:
    gate = DensityGate(6)
    x = torch.randn(3, 6, 12, generator=torch.Generator().manual_seed(5))
    gain = gate(x) / x
    # Four equal components of width softplus(log 0.5) + 0.001 = 0.4065 peak at 0.9815.
    assert gain.min() >= 1
    assert gain.max() <= 1 + 0.05 * 0.9816
    torch.testing.assert_close(gate(x)[1:2], gate(x[1:2]))


@pytest.mark.parametrize(("spread", "distinct"), [(0.0, 1), (1.0, 4)])
def test_equal_components_stay_equal(spread: float, distinct: int) -> None:
    torch.manual_seed(0)
    gate = DensityGate(6, components=4, offset_spread=spread)
    optimiser = torch.optim.AdamW(gate.parameters(), lr=0.05)
    for _ in range(20):
        loss = gate(torch.randn(4, 6, 30)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert len(set(gate.offsets.detach().round(decimals=5).tolist())) == distinct
