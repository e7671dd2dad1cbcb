"""The waveform decoder, its judges and losses, each against the published code or another oracle."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor

from probe_bench.encoders.density_jepa.decoder import WaveDecoderShape
from probe_bench.encoders.density_jepa.discriminators import Discriminators, DiscriminatorShape
from probe_bench.encoders.density_jepa.frontend import DensityStemShape
from probe_bench.encoders.density_jepa.waveform_losses import (
    adversarial_loss,
    discriminator_loss,
    feature_matching,
    stft_distance,
)

JUDGES = DiscriminatorShape(
    periods=(2, 5), period_channels=(2, 4), scales=3, scale_channels=(2, 4, 4, 8, 8, 8)
)


def _waveform() -> Tensor:
    n = torch.arange(700, dtype=torch.float64)
    wave = 0.5 * torch.sin(n * n / 900) + 0.2 * torch.sin(0.31 * n)
    return wave.float().repeat(5)[None, :3000]


@pytest.mark.parametrize("strides", [(5, 4), (3, 3), (8, 2), (7,)])
def test_lengths_are_those_of_the_convolutions(strides: tuple[int, ...]) -> None:
    shape = WaveDecoderShape(
        channels=(2,) * (len(strides) + 1), strides=strides, kernels=(3,), dilations=(1,)
    )
    decoder = shape.build(3)
    for frames in (1, 2, 7):
        decoded = decoder(torch.randn(2, frames, 3))
        assert decoded.shape == (2, shape.samples(frames))
        assert decoded.abs().max() < 1


def test_frames_land_where_the_front_end_took_them_from() -> None:
    strides = (4, 5, 3)
    front = DensityStemShape(channels=(2,) * 4, strides=strides, residual_blocks=0, gated=False)
    shape = WaveDecoderShape(channels=(2,) * 4, strides=strides[::-1], kernels=(3,), dilations=(1,))
    torch.manual_seed(0)
    decoder = shape.build(3).double()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for frame in (5, 9):
        codes = torch.randn(1, 15, 3, dtype=torch.float64)
        changed = codes.clone()
        changed[0, frame] += 1e-3
        touched = (decoder(changed) != decoder(codes))[0].nonzero().squeeze(1)
        centre = (int(touched[0]) + int(touched[-1]) + 1) / 2
        assert centre == front.first_frame_samples + frame * front.stride_samples


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        decoder = WaveDecoderShape().build(128)
        judges = DiscriminatorShape().build()
    counts = [
        sum(p.numel() for p in module.parameters())
        for module in (decoder.blocks, decoder, judges.periods, judges.scales)
    ]
    # The paper's 69.2 M are the upsampling blocks; the published code builds these very numbers.
    assert counts == [69_225_152, 69_291_649, 41_092_165, 16_913_859]


def test_channels_must_fit_strides() -> None:
    with pytest.raises(ValueError, match="expected one more channel count than strides"):
        WaveDecoderShape(channels=(4, 4), strides=(4, 5))


def test_judges_of_periods_see_samples_one_period_apart() -> None:
    torch.manual_seed(0)
    judges = Discriminators(JUDGES)
    for number, period in enumerate(JUDGES.periods):
        waveform = torch.randn(1, 60, requires_grad=True)
        score = judges(waveform)[number][-1]
        assert score.shape[-1] == period
        torch.autograd.backward(score[0, 0, 0, 1])
        assert waveform.grad is not None
        seen = waveform.grad[0].nonzero().squeeze(1)
        assert len(seen) > 1
        assert (seen % period == 1).all()


def test_judges_of_scales_see_ever_lower_rates_and_clips_alone() -> None:
    torch.manual_seed(0)
    judges = Discriminators(JUDGES)
    waveform = torch.randn(2, 1024)
    outputs = judges(waveform)
    lengths = [layers[0].shape[-1] for layers in outputs[2:]]
    assert len(outputs) == 5
    assert lengths[0] == 1024
    assert all(abs(wide / narrow - 2) < 0.01 for wide, narrow in pairwise(lengths))
    for batched, alone in zip(outputs, judges(waveform[:1]), strict=True):
        torch.testing.assert_close(batched[-1][:1], alone[-1])


def test_stft_distance_is_that_of_the_published_code() -> None:
    waveform = _waveform()
    distance = stft_distance(0.3 * waveform, waveform)
    # Logarithms of small float32 magnitudes differ from CPU to CPU: by 3e-6 of the sum.
    assert distance.item() == pytest.approx(3.4262166, rel=1e-5)
    assert stft_distance(waveform, waveform).item() == 0


def test_stft_distance_agrees_with_scipys_spectra() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (
        torch.randn(2, 400, generator=generator),
        torch.randn(2, 400, generator=generator),
    )
    window = scipy.signal.get_window("hann", 128)

    def magnitudes(waveform: Tensor) -> np.ndarray:
        padded = np.pad(waveform.double().numpy(), ((0, 0), (64, 64)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, 128, axis=1)[:, ::32]
        spectra: np.ndarray = np.abs(np.fft.rfft(frames * window, axis=-1))
        return spectra

    a, b = magnitudes(ours), magnitudes(theirs)
    expected = np.abs(a - b).mean() + np.abs(np.log(a + 1e-5) - np.log(b + 1e-5)).mean()
    assert stft_distance(ours, theirs, windows=(4096, 128)).item() == pytest.approx(
        expected, rel=1e-4
    )


def test_gan_losses_by_hand() -> None:
    real = [[torch.tensor([2.0, 4.0]), torch.tensor([1.0, 0.5])], [torch.tensor([0.0])]]
    fake = [[torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.5])], [torch.tensor([3.0])]]
    assert adversarial_loss(fake).item() == pytest.approx((1 + 0.25) / 2 + 4)
    assert discriminator_loss(real, fake).item() == pytest.approx(0.125 + 1 + 0.125 + 9)
    assert feature_matching(real, fake).item() == pytest.approx(2 * (2.5 + 0.5 + 3))


def test_feature_matching_teaches_the_decoder_alone() -> None:
    real, fake = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    torch.autograd.backward(feature_matching([[real]], [[fake]]))
    assert real.grad is None
    assert fake.grad is not None
