"""Front ends of the published systems against torchaudio's Kaldi and against plain convolutions."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torchaudio.compliance import kaldi

from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape, bring_to_peak
from probe_bench.encoders.pretraining.frontends.stem import ConvStemShape
from probe_bench.logmel import kaldi_log_mel

_RELEASE = MelPatchesShape(
    bands=128,
    hop_samples=1250,
    window_samples=3125,
    patch_frames=16,
    patch_bands=16,
    spectrogram="kaldi",
    level="peak",
    pad_frames=2,
)
_NAT = ConvStemShape(channels=(16, 24, 24), kernels=(10, 3, 2), strides=(5, 2, 2), microphones=2)


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("sample_rate_hz", "bands", "hop", "window"),
    [(32_000, 128, 1250, 3125), (32_000, 96, 625, 1562), (16_000, 80, 160, 400)],
)
def test_kaldi_log_mel_equals_torchaudio(
    sample_rate_hz: int, bands: int, hop: int, window: int
) -> None:
    waveform = bring_to_peak(_noise(2, 40_000))
    ours = kaldi_log_mel(
        waveform, sample_rate_hz, bands=bands, hop_samples=hop, window_samples=window
    )
    for row, clip in zip(ours, waveform, strict=True):
        theirs = kaldi.fbank(
            clip[None],
            sample_frequency=sample_rate_hz,
            frame_length=window * 1000 / sample_rate_hz,
            frame_shift=hop * 1000 / sample_rate_hz,
            num_mel_bins=bands,
            window_type="hanning",
        )
        torch.testing.assert_close(row, theirs, atol=2e-5, rtol=1e-5)


def test_ten_seconds_give_the_release_16_by_8_patches_whose_last_frames_are_zero() -> None:
    patches = _RELEASE.build(32_000, 32).features(_noise(1, 320_000))
    assert patches.shape == (1, 128, 256)
    assert (_RELEASE.frames(320_000), _RELEASE.token_bands) == (16, 8)
    last = patches[0, -8:].view(8, 16, 16)  # bands, frames of the patch, mel bands
    assert (last[:, 14:] == 0).all()
    assert (last[:, :14] != 0).all()


def test_silence_stays_finite_and_a_constant_is_silence() -> None:
    waveform = torch.stack([torch.zeros(40_000), torch.full((40_000,), 0.3)])
    patches = _RELEASE.build(32_000, 32).features(waveform)
    assert patches.isfinite().all()
    assert patches.unique().tolist() == pytest.approx([-15.9424, 0.0], abs=1e-3)


def test_frames_and_min_samples_say_what_the_patches_are() -> None:
    frontend = _RELEASE.build(32_000, 32)
    least = _RELEASE.min_samples
    for samples in (least, least + 19_999, least + 20_000, 100_000):
        assert frontend.features(_noise(1, samples)).shape[1] == 8 * _RELEASE.frames(samples)
    assert _RELEASE.frames(least) == 1
    assert _RELEASE.frames(least - 1) == _RELEASE.frames(100) == 0


def test_a_click_lights_the_patch_that_holds_it() -> None:
    shape = _RELEASE
    centre = shape.first_frame_samples + 3 * shape.stride_samples
    waveform = torch.zeros(1, 320_000)
    waveform[0, int(centre)] = 1
    loudness = shape.build(32_000, 8).features(waveform).view(16, 8, 256).mean((1, 2))
    assert loudness[:15].argmax() == 3  # the sixteenth holds the zeros of the padding


def test_stem_of_two_microphones_equals_two_stems() -> None:
    stem = _NAT.build(16_000, 32)
    waveform = _noise(3, 2, 4_000)
    frames = stem.features(waveform)
    level = waveform.flatten(1).std(1)[:, None, None] + 1e-5
    x = (waveform - waveform.flatten(1).mean(1)[:, None, None]) / level
    for microphone in range(2):
        y = x[:, [microphone]]
        for number, (conv, stride) in enumerate(zip(stem.convs, _NAT.strides, strict=True)):
            kernel = conv.weight.chunk(2)[microphone]
            y = F.conv1d(y, kernel, stride=stride)
            y = F.gelu(F.instance_norm(y, eps=1e-5) if number == 0 else y)
        mine = frames.unflatten(2, (2, -1))[:, :, microphone]
        torch.testing.assert_close(mine, y.transpose(1, 2), atol=1e-5, rtol=1e-4)


def test_tokens_of_one_frame_stand_side_by_side() -> None:
    stem = _NAT.build(16_000, 32)
    frames = stem.features(_noise(2, 2, 4_000))
    tokens = stem.project(frames).unflatten(1, (-1, 2))
    assert tokens.shape[1] == frames.shape[1] == _NAT.frames(4_000)
    one = stem.projection(stem.norm(frames[:, :, 24:]))
    torch.testing.assert_close(tokens[:, :, 1], one)


def test_mono_is_heard_by_both_microphones() -> None:
    stem = _NAT.build(16_000, 32)
    mono = _noise(2, 4_000)
    torch.testing.assert_close(
        stem.features(mono), stem.features(mono[:, None].expand(-1, 2, -1)), atol=0, rtol=0
    )


def test_stem_says_its_place_in_time() -> None:
    shape = ConvStemShape()
    assert (shape.min_samples, shape.first_frame_samples) == (240, Fraction(120))
    assert (shape.frames(32_160), shape.frames(32_000), shape.frames(239)) == (200, 199, 0)
    assert (ConvStemShape(microphones=2).token_bands, ConvStemShape(microphones=2).feature_dim) == (
        2,
        1024,
    )
