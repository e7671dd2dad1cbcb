"""Emphasis reads encoders of known cutoff, and refuses what it cannot measure."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from probe_bench.modulation.emphasis import (
    bayesian_weights,
    excess,
    half_power_hz,
    pair_power,
    same_density,
    slow_tones,
)
from probe_bench.modulation.lowpass import low_pass
from probe_bench.modulation.probing import emphasise_stretches
from probe_bench.modulation.results import Emphasis, Gain
from probe_bench.modulation.ripples import draw_ripples
from probe_bench.modulation.stretches import Stretches
from probe_bench.studies.known_cutoffs import (
    causal,
    codebook,
    hard_codes,
    linear,
    mixture,
    out_of_perceptron,
    patches,
    pooled,
    projected,
    soft_codes,
    through_perceptron,
    transformer,
)
from probe_bench.studies.made import MadeEncoder, Part
from probe_bench.studies.nuisances import drifting, with_massive_dimensions, with_positions

Waveforms = tuple[list[Tensor], Tensor]
CUTOFFS_HZ = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0)
NUISANCES = {
    "position": with_positions,
    "drift": drifting,
    "dead and massive dimensions": with_massive_dimensions,
}


@pytest.fixture(scope="module")
def stretches(waveforms: Waveforms) -> Stretches:
    """Sixteen stretches of 10 s of 10 speakers."""
    chosen = [i for i in range(30) if i % 3 == 0 or i % 5 in {1, 2}][:16]
    clips = [waveforms[0][i] for i in chosen]
    return Stretches(waveform=torch.stack(clips), sample_rate_hz=16_000, group=waveforms[1][chosen])


def read(parts: Mapping[str, Part], stretches: Stretches) -> dict[str, Emphasis]:
    found = emphasise_stretches(MadeEncoder(parts), stretches, seed=0, n_draws=100)
    return dict(zip(parts, found, strict=True))


@pytest.fixture(scope="module")
def at_50(stretches: Stretches) -> dict[str, Emphasis]:
    """Everything at 50 tokens/s, in two passes."""
    parts = {f"linear {fc:g}": linear(fc) for fc in CUTOFFS_HZ}
    parts |= {f"causal {fc:g}": causal(fc) for fc in (2.0, 8.0, 16.0)}
    parts |= {f"into perceptron {fc:g}": through_perceptron(fc) for fc in (2.0, 8.0, 16.0)}
    parts |= {f"out of perceptron {fc:g}": out_of_perceptron(fc) for fc in (2.0, 8.0, 16.0)}
    parts |= {f"soft codes {fc:g}": soft_codes(fc) for fc in (2.0, 8.0, 16.0)}
    parts |= {f"transformer {d} {fc:g}": transformer(fc, d) for fc in (2.0, 8.0) for d in (1, 3)}
    parts |= {f"{kind} 8": change(linear(8.0)) for kind, change in NUISANCES.items()}
    parts["mixture"] = mixture(1.5, 8.0)
    parts["all-pass perceptron"] = through_perceptron(None)
    parts["constant"] = Part(lambda x: torch.ones_like(x[:, ::2]))
    return read(parts, stretches)


def off_by(gain: Gain, cutoff_hz: float) -> float:
    assert gain.hz.value is not None, gain.reason
    assert not gain.hz.censored
    return abs(gain.hz.value / cutoff_hz - 1)


@pytest.mark.parametrize("cutoff_hz", CUTOFFS_HZ)
def test_recovers_low_pass(cutoff_hz: float, at_50: dict[str, Emphasis]) -> None:
    found = at_50[f"linear {cutoff_hz:g}"]
    assert off_by(found.weighted, cutoff_hz) < 0.01
    assert off_by(found.whitened, cutoff_hz) < 0.005
    assert found.weighted.hz.ci_high / found.weighted.hz.ci_low < 1.03
    assert found.weighted.total_low_hz < cutoff_hz / 1.05
    assert found.weighted.total_high_hz > cutoff_hz * 1.05


@pytest.mark.parametrize("cutoff_hz", [2.0, 8.0, 16.0])
@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        ("causal", 0.02),
        ("into perceptron", 0.013),
        ("out of perceptron", 0.018),
        ("soft codes", 0.045),
    ],
)
def test_recovers_low_pass_beside_nonlinearities(
    kind: str, tolerance: float, cutoff_hz: float, at_50: dict[str, Emphasis]
) -> None:
    assert off_by(at_50[f"{kind} {cutoff_hz:g}"].weighted, cutoff_hz) < tolerance


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("cutoff_hz", [2.0, 8.0])
def test_recovers_low_pass_at_every_layer_of_random_transformer(
    cutoff_hz: float, depth: int, at_50: dict[str, Emphasis]
) -> None:
    found = at_50[f"transformer {depth} {cutoff_hz:g}"]
    assert off_by(found.weighted, cutoff_hz) < 0.003
    assert off_by(found.whitened, cutoff_hz) < 0.02


@pytest.mark.parametrize("kind", NUISANCES)
def test_is_robust_to_nuisances(kind: str, at_50: dict[str, Emphasis]) -> None:
    found = at_50[f"{kind} 8"]
    assert off_by(found.weighted, 8) < 0.004
    assert off_by(found.whitened, 8) < 0.002


@pytest.mark.parametrize("cutoff_hz", [2.0, 8.0, 16.0])
def test_a6_reads_patch_tokens_below_and_above_their_nyquist_rate(
    cutoff_hz: float, stretches: Stretches
) -> None:
    """A6: patch tokens of 80 ms; at most 1.4 % off."""
    found = read({"patches": patches(cutoff_hz), "points": linear(cutoff_hz, 8)}, stretches)
    assert off_by(found["patches"].weighted, cutoff_hz) < 0.02
    assert off_by(found["points"].weighted, cutoff_hz) < 0.02


@pytest.mark.parametrize(("n", "cutoff_hz"), [(4, 11.41), (8, 5.58), (16, 2.77)])
def test_a3_recovers_mean_pooling(n: int, cutoff_hz: float, stretches: Stretches) -> None:
    """A3: half power of the mean of n frames, sin(n x) / (n sin x) at x = pi f / 100."""
    assert off_by(read({"pool": pooled(n)}, stretches)["pool"].weighted, cutoff_hz) < 0.003


def test_a7_all_pass_is_censored(at_50: dict[str, Emphasis], stretches: Stretches) -> None:
    """A7: no filter at all: beyond range."""
    plain = read({"plain": Part(projected, per_token=1)}, stretches)["plain"]
    for gain in (plain.weighted, plain.whitened, at_50["all-pass perceptron"].weighted):
        assert (gain.hz.value, gain.hz.bound, gain.hz.ci_high) == (32.0, "at least", None)


def test_a8_emphasis_is_that_of_the_slow_nine_tenths(at_50: dict[str, Emphasis]) -> None:
    """A8: nine tenths of the variance low-passed at 1.5 Hz, a tenth at 8 Hz; 3.4 % off."""
    assert off_by(at_50["mixture"].weighted, 1.5) < 0.05
    at_4_hz = [
        gain.curve[9].value for gain in (at_50["mixture"].weighted, at_50["mixture"].whitened)
    ]
    assert at_4_hz == pytest.approx([0.1, 0.45], abs=0.1)


def test_a10_gate_rejects_hard_codes(stretches: Stretches, log_mels: list[Tensor]) -> None:
    """A10: one-hot codes respond too irregularly for a number."""
    codes = {n: codebook(log_mels, n) for n in (128, 256)}
    parts = {f"{n} {fc:g}": hard_codes(fc, codes[n]) for n in codes for fc in (2.0, 8.0, 16.0)}
    every = read(parts, stretches)
    assert max(every[name].weighted.excess for name in ("128 8", "128 16", "256 8")) < 1
    for found in every.values():
        assert found.weighted.excess < 3
        assert found.weighted.hz.value is None
        assert "too irregular" in found.weighted.reason
        assert found.weighted.curve == ()


def test_constant_features_are_refused(at_50: dict[str, Emphasis]) -> None:
    assert at_50["constant"].weighted.reason == "the features do not change"


def test_curve_is_the_filters(at_50: dict[str, Emphasis]) -> None:
    curve = at_50["linear 8"].weighted.curve
    assert [curve[0].mod_freq_hz, curve[-1].mod_freq_hz] == pytest.approx([0.4, 32])
    for point in curve:
        expected = 1 / (1 + (point.mod_freq_hz / 8) ** 8)
        assert point.value == pytest.approx(expected, abs=0.03)
        assert point.ci_low <= point.value <= point.ci_high


def test_rotation_and_scale_change_nothing(stretches: Stretches) -> None:
    rng = torch.Generator().manual_seed(9)
    rotation = torch.linalg.qr(torch.randn(128, 128, generator=rng))[0]
    turned = Part(lambda x: 7 * linear(8.0).make(x) @ rotation)
    found = read({"plain": linear(8.0), "turned": turned}, stretches)
    for weighting in ("weighted", "whitened"):
        one, other = (getattr(found[name], weighting).hz.value for name in found)
        assert other == pytest.approx(one, rel=1e-4)


def test_same_seed_same_numbers(stretches: Stretches) -> None:
    some = Stretches(waveform=stretches.waveform[:9], sample_rate_hz=16_000, group=torch.arange(9))
    one, same, other = (
        emphasise_stretches(MadeEncoder({"L1": linear(4.0)}), some, seed=s, n_draws=20)
        for s in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_random_encoder_is_refused(stretches: Stretches) -> None:
    noisy = Part(lambda x: functional.dropout(x[:, ::2], 0.1))
    found = read({"L1": linear(8.0), "L2": noisy}, stretches)
    for each in found.values():
        assert "two encodes of the same audio differ in L2" in each.weighted.reason
        assert each.weighted.hz.value is None


def test_too_little_audio_is_refused(stretches: Stretches) -> None:
    few = Stretches(waveform=stretches.waveform[:5], sample_rate_hz=16_000, group=torch.arange(5))
    assert read({"L1": linear(8.0)}, few)["L1"].weighted.reason.startswith("5 stretches of 10.00 s")
    short = Stretches(
        waveform=stretches.waveform[:, :12_000], sample_rate_hz=16_000, group=stretches.group
    )
    assert "use longer clips" in read({"L1": linear(8.0)}, short)["L1"].weighted.reason
    alone = Stretches(
        waveform=stretches.waveform,
        sample_rate_hz=16_000,
        group=torch.zeros(len(stretches.waveform), dtype=torch.long),
    )
    assert "independent groups: 1" in read({"L1": linear(8.0)}, alone)["L1"].weighted.reason


def test_slow_tokens_of_short_stretches_are_refused(stretches: Stretches) -> None:
    short = Stretches(
        waveform=stretches.waveform[:, :32_000], sample_rate_hz=16_000, group=stretches.group
    )
    found = read({"L1": pooled(20)}, short)["L1"].weighted
    assert "do not share |f mod 5|" in found.reason


@pytest.mark.parametrize("cutoff_hz", [1.2, 4.0, 16.0])
def test_stretches_of_two_seconds(cutoff_hz: float, stretches: Stretches) -> None:
    pieces = stretches.waveform.unfold(1, 32_000, 32_000)
    short = Stretches(
        waveform=pieces.reshape(-1, 32_000),
        sample_rate_hz=16_000,
        group=stretches.group.repeat_interleave(pieces.shape[1]),
    )
    found = read({"L1": linear(cutoff_hz), "L2": linear(0.6)}, short)
    assert off_by(found["L1"].weighted, cutoff_hz) < 0.02
    assert found["L2"].weighted.hz.bound == "at most"
    assert found["L2"].weighted.hz.value == pytest.approx(1.0)


def test_power_comes_from_pairs_of_different_clips() -> None:
    """A common response among noise of ten times its power: on average its power alone."""
    rng = torch.Generator().manual_seed(0)
    ripples = draw_ripples(torch.tensor([1.0, 2.0]), 30, 0)
    common = torch.randn(2, 50, generator=rng, dtype=torch.complex128)
    noise = 10**0.5 * torch.randn(200, 2, 30, 50, generator=rng, dtype=torch.complex128)
    responses = common[:, None] + noise
    pairs, ones = same_density(ripples), torch.ones(1, 30, dtype=torch.float64)
    powers, surplus = [], []
    for r in responses:
        gram = (r @ r.mH).real
        powers.append(pair_power(gram, pairs, ones)[0])
        surplus.append(excess(gram, pairs))
    expected = common.abs().square().sum(1)
    torch.testing.assert_close(torch.stack(powers).mean(0), expected, rtol=0.05, atol=0)
    wanted = expected / (10 * 50 / 30)
    torch.testing.assert_close(torch.stack(surplus).mean(0), wanted, rtol=0.1, atol=0)


def test_weights_of_groups_have_mean_and_variance_one() -> None:
    weights = bayesian_weights(50, 2000, 0)
    assert float(weights.mean()) == pytest.approx(1, abs=0.02)
    assert float(weights.var()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_half_power_of_a_butterworth_is_exact_between_tones(order: int) -> None:
    freqs = torch.tensor([0.5, 1, 2, 4, 8, 16], dtype=torch.float64)
    for cutoff_hz in (2.1, 3.0, 5.3):
        gain = 1 / (1 + (freqs / cutoff_hz) ** (2 * order))
        found = half_power_hz(gain[None], freqs, after=1)
        assert float(found) == pytest.approx(cutoff_hz, rel=1e-6 if order < 4 else 0.1)


def test_a_dip_of_one_tone_is_no_cutoff() -> None:
    freqs = 2.0 ** torch.arange(8, dtype=torch.float64)
    gain = torch.tensor([[1, 1, 0.3, 1, 1, 1, 0.2, 0.1], [1, 1, 1, 1, 1, 1, 1, 1.0]]).double()
    falls = half_power_hz(gain, freqs, after=1)
    assert 32 < float(falls[0]) < 64
    assert torch.isinf(falls[1])


def test_level_is_that_of_slow_tones_even_behind_a_high_pass() -> None:
    freqs = torch.tensor([0.4, 0.5, 0.7, 0.9, 1.1, 1.5, 1.9, 2.4, 4.0]).double()
    gain = torch.tensor([0.1, 0.2, 0.5, 0.8, 0.9, 1.0, 1.0, 3.0, 9.0]).double()
    exact = gain.expand(50, -1)
    assert slow_tones(exact, freqs).nonzero().flatten().tolist() == [5, 6]
    rng = torch.Generator().manual_seed(0)
    noisy = exact * (1 + 0.1 * torch.randn(50, 9, generator=rng).double())
    noisy[0] = gain
    assert slow_tones(noisy, freqs).nonzero().flatten().tolist() == [4, 5, 6]


def test_low_pass_of_frames_is_what_the_parts_use() -> None:
    frames = torch.randn(2, 100, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(low_pass(frames, 100.0, 5.0)[1], low_pass(frames[1], 100.0, 5.0))
