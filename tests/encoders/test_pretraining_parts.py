"""Targets, objectives, schedules, teacher and monitors against slow or independent oracles."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.encoders.pretraining.monitors import (
    collapse_verdict,
    effective_rank,
    feature_health,
)
from probe_bench.encoders.pretraining.objective import token_loss
from probe_bench.encoders.pretraining.schedule import ramp, warmup_cosine
from probe_bench.encoders.pretraining.targets import (
    TargetRule,
    build_targets,
    normalise,
    standardise_tokens,
)
from probe_bench.encoders.pretraining.teacher import EmaRule, update_ema


@pytest.fixture
def layers() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 7, 5, generator=generator) * (k + 1) + k for k in range(4)]


def _scaled(values: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
    return scaled


def test_instance_norm_has_one_mean_and_variance_a_sample(layers: list[Tensor]) -> None:
    expected = np.stack([_scaled(sample) for sample in layers[1].numpy()])
    np.testing.assert_allclose(normalise(layers[1], "instance"), expected, atol=1e-5)
    # The published code: instance norm over (layers, batch, features, time).
    code = torch.nn.functional.instance_norm(torch.stack(layers).transpose(2, 3)).transpose(2, 3)
    torch.testing.assert_close(normalise(layers[1], "instance"), code[1], atol=1e-5, rtol=1e-5)


def test_channel_and_layer_norm_agree_with_loops(layers: list[Tensor]) -> None:
    x = layers[2].numpy()
    channel, layer = np.empty_like(x), np.empty_like(x)
    for b in range(3):
        for d in range(5):
            channel[b, :, d] = _scaled(x[b, :, d])
        for t in range(7):
            layer[b, t] = _scaled(x[b, t])
    np.testing.assert_allclose(normalise(layers[2], "channel"), channel, atol=1e-5)
    np.testing.assert_allclose(normalise(layers[2], "layer"), layer, atol=1e-5)
    assert normalise(layers[2], "none") is layers[2]


def test_targets_average_the_last_layers(layers: list[Tensor]) -> None:
    got = build_targets(layers, TargetRule(top_k=3, normalisation="layer"))
    expected = sum(normalise(x, "layer") for x in layers[1:]) / 3
    torch.testing.assert_close(got, expected)


def test_token_standardisation_uses_the_unbiased_variance(layers: list[Tensor]) -> None:
    x = layers[3].numpy().astype(np.float64)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, ddof=1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(standardise_tokens(layers[3]), expected, atol=1e-5)


def test_objectives_agree_with_numpy() -> None:
    generator = torch.Generator().manual_seed(0)
    p, t = torch.randn(2, 6, 9, generator=generator) * 2
    a, b = p.numpy(), t.numpy()
    d = np.abs(a - b)
    cos = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    expected = {
        "mse": (d**2).mean(1),
        "l1": d.mean(1),
        "smooth_l1": np.where(d < 1, d**2 / 2, d - 0.5).mean(1),
        "cosine": 2 - 2 * cos,
    }
    for kind, value in expected.items():
        np.testing.assert_allclose(token_loss(p, t, kind), value, rtol=1e-5)  # type: ignore[arg-type]


def test_learning_rate_warms_up_then_falls_along_a_cosine() -> None:
    at = [
        warmup_cosine(s, steps=100, warmup_fraction=0.1, peak=1.0, start=0.1, end=0.01)
        for s in (0, 5, 10, 55, 100)
    ]
    assert at == pytest.approx([0.1, 0.55, 1.0, 0.505, 0.01])


def test_teacher_rate_ramps_and_stays() -> None:
    rule = EmaRule(start=0.9, end=1.0, ramp_fraction=0.5)
    assert [rule.rate(s, 100) for s in (0, 25, 50, 99)] == pytest.approx([0.9, 0.95, 1, 1])
    quarter = ramp(25, steps=100.0, start=0.0, end=1.0, shape="cosine")
    assert quarter == pytest.approx((1 - math.cos(math.pi / 4)) / 2)


def test_teacher_is_the_moving_average_of_the_weights() -> None:
    teacher, student = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0])
    update_ema([teacher], [student], 0.75)
    torch.testing.assert_close(teacher, torch.tensor([1.5, 1.0]))


def test_effective_rank_of_known_spectra() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(4000, 8, generator=generator)
    assert effective_rank(rows) == pytest.approx(8, rel=0.01)
    assert effective_rank(rows[:, :2] @ torch.randn(2, 8, generator=generator)) <= 2.01
    values = np.linalg.svd((rows - rows.mean(0)).numpy() * np.arange(1, 9), compute_uv=False)
    shares = values / values.sum()
    expected = math.exp(-(shares * np.log(shares)).sum())
    centred = (rows - rows.mean(0)) * torch.arange(1, 9)
    assert effective_rank(centred) == pytest.approx(expected, rel=1e-4)


def test_every_kind_of_collapse_is_named() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 50, 64, generator=generator)
    healthy = feature_health(features)
    flat = feature_health(torch.ones(8, 50, 64) + 1e-4 * features)
    slow = feature_health(features.mean(1, keepdim=True).expand(-1, 50, -1) + 1e-4 * features)
    thin = feature_health(features[..., :1].expand(-1, -1, 64) + 1e-4 * features)
    assert collapse_verdict(healthy, healthy) == "healthy"
    assert collapse_verdict(healthy, flat) == "stem"
    assert collapse_verdict(flat, healthy) == "constant"
    assert collapse_verdict(slow, healthy) == "over-time"
    assert collapse_verdict(thin, healthy) == "dimensional"
    assert dataclasses.asdict(healthy)["std_time"] == pytest.approx(1, rel=0.05)
