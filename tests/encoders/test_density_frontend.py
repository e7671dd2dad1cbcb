"""The front end: exact frame counts and times, parameters as published."""

import dataclasses
from fractions import Fraction
from typing import Literal

import pytest
import torch
from torch import nn

from probe_bench.encoders.density_jepa.blocks import ResidualBlock, SnakeBeta
from probe_bench.encoders.density_jepa.frontend import DensityStem, DensityStemShape
from probe_bench.encoders.pretraining.frontends.frontend import FrontendShape

SMALL = DensityStemShape(channels=(4, 6, 8, 8), strides=(4, 5, 2), residual_blocks=1)
BASE = DensityStemShape()


def _build(shape: DensityStemShape, seed: int = 0) -> DensityStem:
    torch.manual_seed(seed)
    return shape.build(16_000, 12)


def test_the_shape_is_a_front_end() -> None:
    assert isinstance(SMALL, FrontendShape)
    assert (SMALL.stride_samples, SMALL.token_bands, SMALL.feature_dim) == (40, 1, 8)


@pytest.mark.parametrize("strides", [(4, 5, 2), (3, 3), (2, 8), (5,), (7, 4)])
def test_frame_counts_are_those_of_the_convolutions(strides: tuple[int, ...]) -> None:
    shape = dataclasses.replace(
        SMALL, channels=(2,) * (len(strides) + 1), strides=strides, residual_blocks=0
    )
    stem = _build(shape)
    lengths = [shape.min_samples, shape.min_samples + 1, 400, 401, 417, 439, 512]
    assert [stem.features(torch.randn(1, n)).shape[1] for n in lengths] == [
        shape.frames(n) for n in lengths
    ]
    assert shape.frames(shape.min_samples) == 1
    assert shape.frames(shape.min_samples - 1) == 0


def test_published_frames_and_rate() -> None:
    # 15 s at 24 kHz, by hand: 360 000 / 8 / 8 = 5625; (5625 - 1) // 5 = 1124; 1123 // 5 = 224; // 6.
    assert BASE.stride_samples == 9600
    assert Fraction(24_000, BASE.stride_samples) == Fraction(5, 2)
    assert BASE.frames(360_000) == 37
    assert BASE.frames(BASE.min_samples) == 1
    assert BASE.min_samples == 9984
    assert BASE.first_frame_samples == 4992


@pytest.mark.parametrize("strides", [(4, 5, 2), (3, 3), (2, 8), (5, 5)])
@pytest.mark.parametrize("residual_blocks", [0, 1])
def test_every_frame_sees_samples_symmetrically_around_its_stated_centre(
    strides: tuple[int, ...], residual_blocks: int
) -> None:
    shape = DensityStemShape(
        channels=(3,) * (len(strides) + 1),
        strides=strides,
        residual_blocks=residual_blocks,
        gated=False,  # a gate's mean and deviation let every frame see the whole clip
        initial="fan_in",
    )
    stem = _build(shape)
    n_samples = 40 * shape.stride_samples
    for frame in (18, 21):
        waveform = torch.randn(1, n_samples, requires_grad=True)
        stem.features(waveform)[0, frame].sum().backward()  # type: ignore[no-untyped-call]
        assert waveform.grad is not None
        seen = waveform.grad[0].nonzero().squeeze(1)
        assert 0 < seen[0] < seen[-1] < n_samples - 1
        centre = Fraction(int(seen[0]) + int(seen[-1]) + 1, 2)
        assert centre == shape.first_frame_samples + frame * shape.stride_samples


def test_dilations_beyond_the_clip_change_nothing() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, 3, (1, 7, 25))
    for length in (4, 7, 8, 25, 26, 40):
        x = torch.randn(2, 3, length)
        expected = x
        for dilated, plain in zip(block.dilated, block.plain, strict=True):
            hidden = dilated(nn.functional.leaky_relu(expected, 0.1))
            expected = expected + plain(nn.functional.leaky_relu(hidden, 0.1))
        torch.testing.assert_close(block(x), expected)


def test_snake_has_its_closed_form() -> None:
    x = torch.linspace(-3, 3, 13)[None, None]
    rate = torch.nn.functional.softplus(torch.tensor(0.0)) + 0.01
    torch.testing.assert_close(SnakeBeta(1)(x), x + torch.sin(rate * x) ** 2 / rate)


def test_clips_do_not_depend_on_their_batch_and_standardising_forgets_the_level() -> None:
    stem = _build(dataclasses.replace(SMALL, standardised=True, initial="fan_in"))
    waveform = torch.randn(3, 900, generator=torch.Generator().manual_seed(1))
    features = stem.features(waveform)
    torch.testing.assert_close(features[1:2], stem.features(waveform[1:2]))
    torch.testing.assert_close(stem.features(5 * waveform + 3), features, atol=1e-3, rtol=1e-3)
    assert stem.project(features).shape == (3, SMALL.frames(900), 12)


def test_fan_in_weights_keep_the_level_that_published_ones_lose() -> None:
    waveform = torch.randn(2, 4000, generator=torch.Generator().manual_seed(1))
    kinds: tuple[Literal["published", "fan_in"], ...] = ("published", "fan_in")
    level = {
        initial: _build(dataclasses.replace(SMALL, initial=initial)).features(waveform).std()
        for initial in kinds
    }
    assert level["published"] < 0.01
    assert 0.3 < level["fan_in"] < 3


def test_every_parameter_learns() -> None:
    stem = _build(SMALL)
    tokens = stem.project(stem.features(torch.randn(2, 900)))
    torch.autograd.backward((tokens * torch.randn_like(tokens)).sum())
    silent = {n for n, p in stem.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    # A density does not change when all scores of a clip do.
    assert silent <= {f"blocks.{i}.gate.score.bias" for i in range(3)}


def test_channels_must_fit_strides() -> None:
    with pytest.raises(ValueError, match="expected one more channel count than strides"):
        DensityStemShape(channels=(4, 4), strides=(4, 5))


def test_published_parameter_count_of_the_front_end() -> None:
    with torch.device("meta"):
        stem = BASE.build(24_000, 128)
    # Stem, five gated blocks and projection of the published code: 512 + 115 369 266 + 65 664.
    assert sum(p.numel() for p in stem.parameters()) == 115_435_442
