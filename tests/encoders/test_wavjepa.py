"""WavJEPA: timing, stem, invariances."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from probe_bench.encoder import Encoder
from probe_bench.encoders.pretraining.frontends.stem import ConvStemShape
from probe_bench.encoders.pretraining.inference import JepaEncoder
from probe_bench.encoders.pretraining.trainer import build_model
from probe_bench.encoders.wavjepa.presets import PRESETS


@pytest.fixture(scope="module")
def encoder() -> JepaEncoder:
    return JepaEncoder(PRESETS["tiny"], build_model(PRESETS["tiny"], 0).encoder, "random:wavjepa")


def _noise(batch: int, samples: int) -> Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(0))


def test_stem_has_the_published_receptive_field() -> None:
    frontend = PRESETS["base"].frontend
    assert (frontend.receptive_field_samples, frontend.stride_samples) == (240, 160)


def test_layers_and_timing(encoder: JepaEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert [layer.name for layer in encoder.layers] == [
        "cnn",
        "in",
        "L1",
        "L2",
        "L3",
        "L4",
        "out_norm",
    ]
    assert {layer.frame_rate_hz for layer in encoder.layers} == {Fraction(100)}
    assert {layer.first_frame_s for layer in encoder.layers} == {Fraction(240, 32_000)}
    outputs = encoder.encode(_noise(2, 32_160))
    assert [tuple(x.shape) for x in outputs] == [(2, 200, layer.dim) for layer in encoder.layers]


def test_an_impulse_moves_only_frames_whose_receptive_field_has_it() -> None:
    stem = build_model(PRESETS["tiny"], 0).encoder.frontend
    # Level and first norm look at the whole crop by design; the convolutions are local.
    stem.first_norm = nn.Identity()
    x = _noise(1, 8000)[:, None]
    touched = x.clone()
    touched[..., 3200] += 1.0

    def convolve(wave: Tensor) -> Tensor:
        for conv in stem.convs:  # type: ignore[union-attr]
            wave = torch.nn.functional.gelu(conv(wave))
        return wave

    moved = (convolve(x) != convolve(touched)).any(1)[0].nonzero().flatten().tolist()
    # Frame k sees samples [160 k, 160 k + 240).
    assert moved == [k for k in range(49) if 160 * k <= 3200 < 160 * k + 240]


def test_features_do_not_depend_on_the_batch(encoder: JepaEncoder) -> None:
    waveform = _noise(3, 16_000)
    together = encoder.encode(waveform)
    for i in range(3):
        alone = encoder.encode(waveform[i : i + 1])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b, rtol=1e-4, atol=1e-5)


def test_level_and_offset_do_not_matter(encoder: JepaEncoder) -> None:
    waveform = _noise(1, 16_000)
    for a, b in zip(encoder.encode(waveform), encoder.encode(0.3 * waveform + 0.1), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)


def test_the_shortest_waveform_gives_one_frame(encoder: JepaEncoder) -> None:
    outputs = encoder.encode(_noise(1, encoder.min_samples))
    assert [x.shape[1] for x in outputs] == [1] * len(encoder.layers)
    assert all(torch.isfinite(x).all() for x in outputs)


def test_fingerprint_follows_weights(encoder: JepaEncoder) -> None:
    recipe = PRESETS["tiny"]
    same, other = (JepaEncoder(recipe, build_model(recipe, s).encoder, "x") for s in (0, 1))
    assert same.fingerprint == encoder.fingerprint != other.fingerprint


def test_a_missing_bundled_checkpoint_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from probe_bench.encoders.pretraining import inference  # noqa: PLC0415
    from probe_bench.errors import CheckpointError  # noqa: PLC0415

    monkeypatch.setattr(inference, "files", lambda _: tmp_path)
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors: no such checkpoint"):
        inference.load_encoder("wavjepa", "", None)


def test_a_smooth_start_keeps_the_variance_of_the_kernels() -> None:
    def kernels(share: float) -> list[Tensor]:
        shape = ConvStemShape(channels=(64,) * 6, smooth_start=share)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return list(shape.build(16_000, 32).convs.parameters())

    white, smooth, half = kernels(0.0), kernels(1.0), kernels(0.5)
    torch.testing.assert_close(white[0], smooth[0])  # the first convolution is left as it is
    for a, b, c in zip(white[1:], smooth[1:], half[1:], strict=True):
        assert b.std().item() == pytest.approx(a.std().item(), rel=0.05)
        torch.testing.assert_close(b, b[..., :1].expand_as(b))
        assert c.mean(2).std() > 1.2 * a.mean(2).std()
