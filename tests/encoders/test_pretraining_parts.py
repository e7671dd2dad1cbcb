"""Targets, objectives, schedules and teacher against slow or independent oracles."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape, sincos_positions
from probe_bench.encoders.pretraining.losses.objective import token_loss
from probe_bench.encoders.pretraining.losses.targets import (
    TargetRule,
    normalise,
    standardise_tokens,
)
from probe_bench.encoders.pretraining.masking.masks import Grid
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.schedule import ramp, warmup_cosine
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
    got = TargetRule(top_k=3, normalisation="layer").build(layers)
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


def test_a_moving_average_forgets_as_its_rates_say() -> None:
    rates, students = (
        [0.9, 0.5, 0.99],
        torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    )
    teacher = torch.ones(4)
    for rate, student in zip(rates, students, strict=True):
        update_ema([teacher], [student], rate)
    expected = 0.9 * 0.5 * 0.99 + 0.1 * 0.5 * 0.99 * students[0]
    expected = expected + 0.5 * 0.99 * students[1] + 0.01 * students[2]
    torch.testing.assert_close(teacher, expected)
    update_ema([teacher], [students[0]], 1.0)
    torch.testing.assert_close(teacher, expected)
    update_ema([teacher], [students[0]], 0.0)
    torch.testing.assert_close(teacher, students[0])


def test_weight_decay_rises_along_a_cosine() -> None:
    rule = OptimiserRule(lr=1.0, weight_decay=0.04, weight_decay_end=0.4)
    assert [rule.weight_decay_at(s, 100) for s in (0, 50, 100)] == pytest.approx([0.04, 0.22, 0.4])
    assert OptimiserRule(lr=1.0, weight_decay=0.04).weight_decay_at(70, 100) == pytest.approx(0.04)


def test_cosine_against_standardised_targets_is_a_scaled_squared_distance() -> None:
    """Audio-JEPA's code: 2 - 2 cos(p, t) is |p/|p| - t/|t||^2."""
    p, t = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    target = standardise_tokens(t[None])[0]
    units = torch.nn.functional.normalize(p) - torch.nn.functional.normalize(target)
    torch.testing.assert_close(token_loss(p, target, "cosine"), units.square().sum(1))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_blocks_are_torchs_encoder_layers(norm: Literal["pre", "post"]) -> None:
    ours = TransformerShape(dim=12, depth=1, heads=3, norm=norm, norm_eps=1e-6).build()
    theirs = nn.TransformerEncoderLayer(
        12, 3, 48, 0.0, "gelu", 1e-6, batch_first=True, norm_first=norm == "pre"
    )
    block = ours.blocks[0]
    names = {
        "self_attn.in_proj_weight": "qkv.weight",
        "self_attn.in_proj_bias": "qkv.bias",
        "self_attn.out_proj.weight": "out.weight",
        "self_attn.out_proj.bias": "out.bias",
        **{f"linear{n}.{p}": f"fc{n}.{p}" for n in (1, 2) for p in ("weight", "bias")},
        **{f"norm{n}.{p}": f"norm{n}.{p}" for n in (1, 2) for p in ("weight", "bias")},
    }
    held = block.state_dict()
    theirs.load_state_dict({name: held[own] for name, own in names.items()})
    x = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[1, 4:] = False
    got, expected = ours(x, valid)[0], theirs(x, src_key_padding_mask=~valid)
    torch.testing.assert_close(got[valid], expected[valid], rtol=1e-4, atol=1e-5)


def test_positions_are_sines_and_cosines_of_geometric_rates() -> None:
    table = sincos_positions(Grid(frames=6), 8)
    for t in range(6):
        for k in range(4):
            angle = t * 10_000 ** (-k / 4)
            assert table[t, k].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[t, 4 + k].item() == pytest.approx(math.cos(angle), abs=1e-6)
