"""Audio-JEPA: timing, patches, invariances."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.encoder import Encoder
from probe_bench.encoders.audio_jepa.presets import PRESETS
from probe_bench.encoders.pretraining.blocks.transformer import sincos_positions
from probe_bench.encoders.pretraining.frontends.patches import MelPatches
from probe_bench.encoders.pretraining.inference import JepaEncoder
from probe_bench.encoders.pretraining.masking.masks import Grid
from probe_bench.encoders.pretraining.trainer import build_model
from probe_bench.logmel import log_mel


@pytest.fixture(scope="module")
def encoder() -> JepaEncoder:
    return JepaEncoder(
        PRESETS["tiny"], build_model(PRESETS["tiny"], 0).encoder, "random:audio-jepa"
    )


def _noise(batch: int, samples: int) -> Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0))


def test_layers_and_timing(encoder: JepaEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert [layer.name for layer in encoder.layers] == ["in", "L1", "L2", "L3", "L4", "out_norm"]
    assert {layer.frame_rate_hz for layer in encoder.layers} == {Fraction(25)}
    # Four windows of 400 samples, 160 apart, span 880 samples.
    assert {layer.first_frame_s for layer in encoder.layers} == {Fraction(880, 32_000)}
    outputs = encoder.encode(_noise(2, 32_240))
    assert [tuple(x.shape) for x in outputs] == [(2, 50, layer.dim) for layer in encoder.layers]


def test_patches_are_blocks_of_the_log_mel() -> None:
    frontend = build_model(PRESETS["tiny"], 0).encoder.frontend
    assert isinstance(frontend, MelPatches)
    waveform = _noise(1, 8000)
    waveform = (waveform - waveform.mean()) / waveform.std()
    mel = log_mel(waveform, 16_000, bands=64, hop_samples=160, window_samples=400)
    mel = (mel - frontend.shape.mean) / frontend.shape.std
    patches = frontend.features(waveform)
    assert patches.shape == (1, 12 * 4, 4 * 16)
    block = mel[0, 4 * 3 : 4 * 4, 16 * 2 : 16 * 3]  # time step 3, band group 2
    torch.testing.assert_close(patches[0, 3 * 4 + 2].reshape(4, 16), block, rtol=1e-3, atol=1e-4)


def test_an_impulse_moves_only_frames_whose_receptive_field_has_it(encoder: JepaEncoder) -> None:
    # Two samples change places: mean and deviation of the crop, which level it, stay as they were.
    waveform = _noise(1, 16_000)
    touched = waveform.clone()
    touched[0, 8000:8002] = waveform[0, 8000:8002].flip(0)
    before, after = (encoder.encode(w)[0] for w in (waveform, touched))
    moved = (before - after).abs().amax(2)[0]
    inside = [k for k in range(moved.shape[0]) if 640 * k <= 8000 < 640 * k + 880]
    outside = [k for k in range(moved.shape[0]) if k not in inside]
    assert moved[inside].min() > 1e-2
    assert moved[outside].max() < 1e-4


def test_positions_of_a_shorter_crop_begin_those_of_a_longer_one() -> None:
    long, short = (sincos_positions(Grid(frames=n, bands=4), 32) for n in (50, 20))
    torch.testing.assert_close(long[:80], short)
    # Rows of one time step share the time half, rows of one band the frequency half.
    np.testing.assert_allclose(long[4:8, :16], long[4:5, :16].expand(4, -1))
    np.testing.assert_allclose(long[::4, 16:], long[:1, 16:].expand(50, -1))
    assert len(torch.unique(long, dim=0)) == 200


def test_frequency_patches_stand_side_by_side(encoder: JepaEncoder) -> None:
    waveform = _noise(1, 16_000)
    backbone = encoder.backbone
    with torch.inference_mode():
        tokens = backbone.tokens(backbone.frontend.features(waveform))
    frames = encoder.encode(waveform)[0]
    torch.testing.assert_close(frames[0, 5, 128:256], tokens[0, 5 * 4 + 1])


def test_features_do_not_depend_on_the_batch(encoder: JepaEncoder) -> None:
    waveform = _noise(3, 16_000)
    together = encoder.encode(waveform)
    for i in range(3):
        for a, b in zip(together, encoder.encode(waveform[i : i + 1]), strict=True):
            torch.testing.assert_close(a[i : i + 1], b, rtol=1e-4, atol=1e-5)


def test_the_shortest_waveform_gives_one_frame(encoder: JepaEncoder) -> None:
    assert encoder.min_samples == 880
    outputs = encoder.encode(_noise(1, 880))
    assert [x.shape[1] for x in outputs] == [1] * len(encoder.layers)
    assert all(torch.isfinite(x).all() for x in outputs)
