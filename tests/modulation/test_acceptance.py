"""Encoders of known cutoff, on five minutes of synthetic speech: support of tests A1 to A9 and A11.

A3, A6, A7, A8 and A10 of the emphasis stand in `test_emphasis`. Tolerances are about 1.5 times what is
measured, where the method does not state less.
"""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from probe_bench.modulation.lowpass import (
    causal_low_pass,
    low_pass,
    mean_pool,
    mean_pool_cutoff_hz,
)
from probe_bench.modulation.results import Support
from probe_bench.modulation.speed import speed
from probe_bench.modulation.tokens import flatten
from probe_bench.reports.metrics import METRICS

Speech = tuple[list[Tensor], Tensor]
Measured = Callable[..., Support]
Encoded = Callable[..., list[Tensor]]
CUTOFFS_HZ = (1, 2, 4, 8, 12, 16, 20)


def filtered(clips: list[Tensor], cutoff_hz: float) -> list[Tensor]:
    return [low_pass(clip, 100.0, float(cutoff_hz)) for clip in clips]


def off_by(found: Support, cutoff_hz: float) -> float:
    assert found.hz.value is not None, found.reason
    assert not found.hz.censored
    return abs(found.hz.value / cutoff_hz - 1)


@pytest.mark.parametrize("cutoff_hz", CUTOFFS_HZ)
def test_a1_recovers_low_pass_at_50_frames_per_second(
    cutoff_hz: int, log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A1: zero-phase low-pass of order 4 at 50 frames/s; at most .8 % off."""
    found = measured(encoded(filtered(log_mels, cutoff_hz), stride=2), per_token=2)
    assert off_by(found, cutoff_hz) < 0.011
    assert found.lag_s == 0


@pytest.mark.parametrize(
    ("per_token", "cutoff_hz"),
    [(p, fc) for p in (1, 4, 8) for fc in CUTOFFS_HZ if fc < 50 / p and fc != 12],
)
def test_a2_recovers_low_pass_at_other_frame_rates(
    per_token: int, cutoff_hz: int, log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A2: the same at 100, 25 and 12.5 frames/s, below half of the rate; at most .8 % off."""
    features = encoded(filtered(log_mels, cutoff_hz), stride=per_token)
    assert off_by(measured(features, per_token=per_token), cutoff_hz) < 0.011


@pytest.mark.parametrize("cutoff_hz", [1, 2, 4, 8, 16, 20])
def test_a2_recovers_causal_low_pass_and_its_delay(
    cutoff_hz: int, log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A2: causal filter; at most .7 % off."""
    clips = [causal_low_pass(clip, 100.0, float(cutoff_hz)) for clip in log_mels]
    found = measured(encoded(clips, stride=2), per_token=2)
    assert off_by(found, cutoff_hz) < 0.011
    # A Butterworth filter of order 4 delays slow modulations by 0.416 / fc.
    assert found.lag_s == pytest.approx(-0.43 / cutoff_hz, abs=0.03)


@pytest.mark.parametrize(("n", "tolerance"), [(4, 0.075), (8, 0.045), (16, 0.12)])
def test_a3_recovers_mean_pooling(
    n: int, tolerance: float, log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A3: mean over 40, 80, 160 ms, half power at .443 / T; 4.8, 2.8, 11.8 % off."""
    features = encoded([mean_pool(clip, n) for clip in log_mels])
    found = measured(features, per_token=n, first_frame=Fraction(n - 1, 2))
    assert off_by(found, mean_pool_cutoff_hz(n / 100)) < tolerance


def mlp(clips: list[Tensor]) -> list[Tensor]:
    """Random two-layer perceptron with layer norm."""
    rng = torch.Generator().manual_seed(1)
    first, second = (torch.randn(a, b, generator=rng) for a, b in ((64, 256), (256, 128)))
    every = torch.cat(clips)
    hidden = [
        functional.gelu((clip - every.mean(0)) / every.std() @ first * 0.19) for clip in clips
    ]
    return [functional.layer_norm(h @ second / 16, (128,))[::2] for h in hidden]


@pytest.mark.parametrize("cutoff_hz", [2, 4, 8, 16])
def test_a4_recovers_low_pass_before_random_mlp(
    cutoff_hz: int, log_mels: list[Tensor], measured: Measured
) -> None:
    """A4: low-pass, then random perceptron and layer norm; at most 3.4 % off."""
    assert off_by(measured(mlp(filtered(log_mels, cutoff_hz)), per_token=2), cutoff_hz) < 0.04


@pytest.mark.parametrize("cutoff_hz", [2, 8])
def test_a4_recovers_low_pass_at_every_layer_of_random_transformer(
    cutoff_hz: int, log_mels: list[Tensor], measured: Measured
) -> None:
    """A4: low-pass, then every layer of a random transformer; at most 1.3 % off."""
    torch.manual_seed(0)
    blocks = [
        torch.nn.TransformerEncoderLayer(64, 4, 128, 0.0, "gelu", batch_first=True, norm_first=True)
        for _ in range(3)
    ]
    every = torch.cat(log_mels)
    clips = filtered(log_mels, cutoff_hz)
    hidden = torch.stack([((clip - every.mean(0)) / every.std(0))[::2] for clip in clips])
    for block in blocks:
        with torch.inference_mode():
            hidden = block(hidden)
        assert off_by(measured(list(hidden.clone()), per_token=2), cutoff_hz) < 0.02


def nuisance(kind: str, features: list[Tensor]) -> list[Tensor]:
    """Add what real encoders have beside the signal."""
    rng = torch.Generator().manual_seed(5)
    scale, shape = torch.cat(features).std(0).mean(), features[0].shape
    if kind == "position":
        position = 2 * scale * torch.randn(shape, generator=rng)
        return [x + position for x in features]
    if kind == "drift":
        slow = [torch.randn(shape, generator=rng).cumsum(0) for _ in features]
        return [x + scale * (s - s.mean(0)) / s.std() for x, s in zip(features, slow, strict=True)]
    if kind == "noise":
        return [x + scale * torch.randn(shape, generator=rng) for x in features]
    alive, massive = torch.ones(128), torch.zeros(128)
    alive[:62], massive[60:62] = 0, 1000 * scale
    return [x * alive + massive * torch.randn(shape, generator=rng) for x in features]


@pytest.mark.parametrize("kind", ["position", "drift", "noise", "dead and massive dimensions"])
@pytest.mark.parametrize("cutoff_hz", [2, 8, 16])
def test_a5_is_robust_to_nuisances(
    kind: str, cutoff_hz: int, log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A5: beside position codes, drift, noise at 0 dB, dead and massive dimensions; .7 % off."""
    features = nuisance(kind, encoded(filtered(log_mels, cutoff_hz), stride=2))
    assert off_by(measured(features, per_token=2), cutoff_hz) < 0.011


@pytest.mark.parametrize("cutoff_hz", [2, 8, 16])
def test_a6_reads_patch_tokens_within_their_systematic_term(
    cutoff_hz: int, log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A6: patch tokens of 80 ms; 19, 15, .7 % off."""
    patches = [clip[:992].reshape(-1, 512) for clip in filtered(log_mels, cutoff_hz)]
    found = measured(encoded(patches), per_token=8, first_frame=Fraction(7, 2))
    assert off_by(found, cutoff_hz) < 0.20
    assert found.systematic == 0.20


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a7_all_pass_is_censored(
    kind: str, log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A7: no filter at all, linear and perceptron: beyond range, never about 5 Hz."""
    features = encoded(log_mels, stride=2) if kind == "linear" else mlp(log_mels)
    found = measured(features, per_token=2)
    assert (found.hz.value, found.hz.bound, found.hz.ci_high) == (40.0, "at least", None)


def test_a8_support_is_that_of_the_fast_tenth_of_the_variance(
    log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A8: nine tenths of the variance low-passed at 1.5 Hz, a tenth at 8 Hz; .7 % off. Emphasis: test_emphasis."""
    fast = encoded(filtered(log_mels, 8), stride=2)
    slow = encoded(filtered(log_mels, 1.5), seed=3, stride=2)
    share = torch.cat(fast).var(0).mean() / torch.cat(slow).var(0).mean()
    features = [f + 3 * share.sqrt() * s for f, s in zip(fast, slow, strict=True)]
    assert off_by(measured(features, per_token=2), 8) < 0.011


def test_a9_rotation_and_scale_change_nothing(
    log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A9: rotation, global scale, and scales of single dimensions (.09 % off)."""
    rng = torch.Generator().manual_seed(9)
    features = encoded(filtered(log_mels, 8), stride=2)
    plain = measured(features, per_token=2).hz.value
    rotation = torch.linalg.qr(torch.randn(128, 128, generator=rng))[0]
    assert off_by(measured([7 * x @ rotation for x in features], per_token=2), plain) < 1e-5
    scales = torch.randn(128, generator=rng).exp()
    assert off_by(measured([x * scales for x in features], per_token=2), plain) < 0.002


def test_a9_permuted_clips_are_not_measurable(
    log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    """A9: clips against the sound of others: a reason and no number."""
    features = encoded(log_mels, stride=2)
    found = measured(features[3:] + features[:3], per_token=2)
    assert found.r2.value is not None
    assert found.r2.value < 0.02
    assert found.hz.value is None
    assert "R²" in found.reason


@pytest.mark.parametrize("length", [110, 200, 300])
def test_short_clips_recover_two_over_their_length_and_say_at_most_below(
    length: int, log_mels: list[Tensor], encoded: Encoded, measured: Measured
) -> None:
    speech = [piece for clip in log_mels for piece in clip.split(length) if len(piece) == length]
    group = torch.arange(10).repeat_interleave(len(speech) // 10)
    lowest_hz = 200 / length

    def found(cutoff_hz: float) -> Support:
        features = encoded(filtered(speech, cutoff_hz), stride=2)
        return measured(features, per_token=2, speech=speech, group=group)

    for cutoff_hz in (1.2 * lowest_hz, 4.0, 16.0):
        assert off_by(found(cutoff_hz), cutoff_hz) < 0.014
    below = found(0.6 * lowest_hz).hz
    assert below.bound == "at most"
    assert below.value == pytest.approx(lowest_hz, rel=0.05)
    assert below.ci_low is None


@pytest.mark.parametrize("cutoff_hz", [8, 16])
def test_a11_output_speed_is_no_cutoff(
    cutoff_hz: int, log_mels: list[Tensor], encoded: Encoded, waveforms: Speech
) -> None:
    """A11: the spectrum of the features reads alike whether there is a filter or not."""

    def spoken(clips: list[Tensor]) -> float:
        tokens = flatten(encoded(clips, stride=2))
        found = speed(tokens, 50.0, waveforms[1], n_groups=10, seed=0, n_draws=20)
        assert found.hz.value is not None
        return found.hz.value

    behind, without = spoken(filtered(log_mels, cutoff_hz)), spoken(log_mels)
    assert behind < 0.5 * cutoff_hz
    assert behind == pytest.approx(without, rel=0.4)
    assert METRICS["speed_hz"].label == "output speed"
