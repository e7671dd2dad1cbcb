"""The log-mel baseline: exact times at every rate, nothing skipped."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor

from probe_bench.encoders.logmel import ENCODER
from probe_bench.errors import UserError
from probe_bench.logmel import log_mel, mel_filters


def noise(n_samples: int) -> Tensor:
    return 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(0))


def test_default_is_the_plain_log_mel_spectrogram() -> None:
    clip = noise(16000)
    expected = log_mel(clip, 16000, hop_samples=160, window_samples=400)
    (frames,) = ENCODER.load("", None).encode(clip[None])
    torch.testing.assert_close(frames[0], expected)


def test_frames_are_those_of_scipys_short_time_fourier_transform() -> None:
    clip = noise(8000).numpy()
    _, _, spectrum = scipy.signal.stft(
        clip, nperseg=400, noverlap=240, nfft=512, window="hann", boundary=None, padded=False
    )
    window = scipy.signal.get_window("hann", 400)
    power = np.abs(spectrum.T * window.sum()) ** 2  # scipy scales by the sum of the window
    expected = np.log(power @ mel_filters(64, 512, 16000).numpy() + 1e-6)
    (frames,) = ENCODER.load("100", None).encode(torch.from_numpy(clip)[None])
    np.testing.assert_allclose(frames[0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(("rate", "group"), [("50", 2), ("25", 4), ("25/4", 16), ("12.5", 8)])
def test_slow_rates_are_means_over_whole_groups(rate: str, group: int) -> None:
    clip = noise(40000)
    fine = log_mel(clip, 16000, hop_samples=160, window_samples=400)
    count = len(fine) // group
    expected = torch.stack([fine[k * group : (k + 1) * group].mean(dim=0) for k in range(count)])
    (frames,) = ENCODER.load(rate, None).encode(clip[None])
    torch.testing.assert_close(frames[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rate", ["100", "75", "50", "40", "25/4", "200", "44.1"])
def test_stated_times_are_where_a_click_is_heard(rate: str) -> None:
    encoder = ENCODER.load(rate, None)
    (layer,) = encoder.layers
    quiet = torch.zeros(1, 32000)
    hop_s = 1 / float(layer.frame_rate_hz)
    for time_s in (0.5, 0.71, 1.2):
        click = quiet.clone()
        click[0, int(time_s * 16000)] = 1.0
        response = (encoder.encode(click)[0] - encoder.encode(quiet)[0])[0].sum(dim=1)
        times = float(layer.first_frame_s) + hop_s * torch.arange(len(response))
        heard_s = float((times * response).sum() / response.sum())
        assert abs(heard_s - time_s) < max(0.002, hop_s / 2)


@pytest.mark.parametrize("rate", ["100", "75", "25/4", "1000"])
def test_the_shortest_clip_gives_one_frame(rate: str) -> None:
    encoder = ENCODER.load(rate, None)
    assert encoder.encode(noise(encoder.min_samples)[None])[0].shape == (1, 1, 64)
    assert len(encoder._starts(encoder.min_samples - 1 - 399)) == 0


def test_rate_and_fingerprint_go_together() -> None:
    rates = ["100", "50", "75", "25/4"]
    assert len({ENCODER.load(rate, None).fingerprint for rate in rates}) == len(rates)
    assert ENCODER.load("", None).fingerprint == ENCODER.load("100.0", None).fingerprint
    assert ENCODER.load("25/4", None).layers[0].frame_rate_hz == Fraction(25, 4)


@pytest.mark.parametrize("rate", ["fast", "0", "-5", "1/0", "1001", "nan"])
def test_no_frame_rate_is_refused_in_one_line(rate: str) -> None:
    with pytest.raises(UserError, match=f"logmel:{rate}: .* is no frame rate"):
        ENCODER.load(rate, None)


def test_random_log_mel_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match="no weights"):
        ENCODER.load("", 0)
