"""Low-passed modulations: what log-mel of the result keeps at every rate, and what stays as it was."""

import numpy as np
import pytest
import torch
from jaxtyping import Float, Float32
from scipy import signal
from torch import Tensor

from probe_bench.degradations.level import rms
from probe_bench.degradations.modulation import low_pass_modulations
from probe_bench.logmel import log_mel
from probe_bench.resolve import resolve
from tests.speaking import speak

RATE_HZ = 16000
SEGMENT_S = 5.0
Clip = Float32[np.ndarray, " samples"]


@pytest.fixture(scope="module")
def speech() -> list[Clip]:
    """Ten seconds of each of four synthetic voices, with a noise floor at -60 dB."""
    return [speak([3, seed], 10.0) for seed in range(4)]


def modulations(clips: list[Clip], bands: int = 64) -> Float[Tensor, " freqs"]:
    """Power of log-mel's modulations, summed over bands, every 0.2 Hz up to 50 Hz."""
    n = round(100 * SEGMENT_S)
    total = torch.zeros(n // 2 + 1)
    for clip in clips:
        frames = log_mel(
            torch.from_numpy(clip), RATE_HZ, bands=bands, hop_samples=160, window_samples=400
        )
        parts = frames.unfold(0, n, n // 2)
        parts = (parts - parts.mean(-1, keepdim=True)) * torch.hann_window(n)
        total += torch.fft.rfft(parts).abs().square().sum((0, 1))
    return total


def kept_db(before: Tensor, after: Tensor, mod_freq_hz: float) -> float:
    """Power gain over half an octave around a modulation frequency."""
    at = torch.arange(len(before)) / SEGMENT_S
    near = (at > mod_freq_hz / 2**0.25) & (at < mod_freq_hz * 2**0.25)
    return float(10 * torch.log10(after[near].sum() / before[near].sum()))


@pytest.mark.parametrize(
    ("cutoff_hz", "above_db"), [(2.0, -15.0), (4.0, -12.0), (8.0, -9.0), (16.0, -4.5)]
)
def test_log_mel_of_the_result_falls_as_the_filter_says(
    speech: list[Clip], cutoff_hz: float, above_db: float
) -> None:
    """Half power at the cutoff; one octave above it what windows and fine structure leave."""
    smooth = [low_pass_modulations(clip, RATE_HZ, cutoff_hz) for clip in speech]
    before, after = modulations(speech), modulations(smooth)
    assert kept_db(before, after, cutoff_hz / 2) == pytest.approx(0, abs=0.6)
    assert -4.5 < kept_db(before, after, cutoff_hz) < -1.8
    assert kept_db(before, after, 2 * cutoff_hz) < above_db
    # Another spectrogram than the one that was smoothed says the same.
    before, after = modulations(speech, 40), modulations(smooth, 40)
    assert -4.5 < kept_db(before, after, cutoff_hz) < -1.8


def test_severities_are_ordered_and_the_mildest_changes_little(speech: list[Clip]) -> None:
    kept = []
    for cutoff_hz in (32.0, 16.0, 8.0, 4.0, 2.0, 1.0):
        smooth = [low_pass_modulations(clip, RATE_HZ, cutoff_hz) for clip in speech[:2]]
        kept.append(float(modulations(smooth).sum() / modulations(speech[:2]).sum()))
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > 0.95
    assert kept[-1] < 0.3


def test_amplitude_modulation_goes_and_its_carrier_stays() -> None:
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    carrier = sum(np.sin(2 * np.pi * 150 * k * time_s) / k for k in range(1, 20))
    level = 1 + 0.8 * np.sin(2 * np.pi * 10 * time_s)
    clip = (0.02 * level * carrier).astype(np.float32)

    def depth(sound: Clip) -> float:
        envelope = np.abs(signal.hilbert(sound.astype(np.float64)))
        bins = np.abs(np.fft.rfft(np.convolve(envelope, np.ones(107) / 107, "same")))
        return float(2 * bins[40] / bins[0])  # 10 Hz in 4 s

    assert depth(clip) > 0.7
    smooth = low_pass_modulations(clip, RATE_HZ, 4.0)
    assert depth(smooth) < 0.05
    assert depth(low_pass_modulations(clip, RATE_HZ, 32.0)) > 0.65
    before, after = (np.abs(np.fft.rfft(sound)) for sound in (clip, smooth))
    assert np.argmax(after) == np.argmax(before) == 4 * 150


def test_labels_in_time_stay_where_they_are(speech: list[Clip]) -> None:
    """The smooth level is nowhere more alike than without a shift."""

    def level(clip: Clip) -> np.ndarray:
        frames = log_mel(torch.from_numpy(clip), RATE_HZ, hop_samples=160, window_samples=400)
        return (frames - frames.mean(0)).mean(1).numpy()

    for clip in speech:
        smooth = level(low_pass_modulations(clip, RATE_HZ, 4.0))
        alike = signal.correlate(smooth, level(clip))
        assert abs(np.argmax(alike) - (len(smooth) - 1)) <= 1


def test_silence_is_not_made_into_noise() -> None:
    rng = np.random.default_rng(0)
    clip = (0.1 * rng.standard_normal(2 * RATE_HZ)).astype(np.float32)
    clip[12000:20000] = 0
    smooth = low_pass_modulations(clip, RATE_HZ, 1.0)
    assert rms(smooth[13000:19000]) < 1e-6
    clip[12000:20000] = 1e-6 * rng.standard_normal(8000)  # 100 dB below the rest
    smooth = low_pass_modulations(clip, RATE_HZ, 1.0)
    assert rms(smooth[13000:19000]) < 4e-5  # raised by 30 dB at most


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100])
def test_any_rate_and_length(rate_hz: int) -> None:
    clip = (0.1 * np.random.default_rng(0).standard_normal(rate_hz + 7)).astype(np.float32)
    smooth = low_pass_modulations(clip, rate_hz, 4.0)
    assert len(smooth) == len(clip)
    assert rms(smooth) == pytest.approx(rms(clip), rel=1e-5)
    for n in (1, 100, rate_hz // 50):
        short = low_pass_modulations(clip[:n], rate_hz, 4.0)
        assert len(short) == n
        assert np.isfinite(short).all()


def test_a_low_passed_encoder_hardly_notices_a_milder_low_pass(speech: list[Clip]) -> None:
    """Known answer: what `lowpass:4` follows is gone at 1 Hz and there at 16 Hz; log-mel differs."""

    def change(encoder: str, cutoff_hz: float) -> float:
        model, lost, all_ = resolve(encoder), 0.0, 0.0
        for clip in speech:
            heard = [clip, low_pass_modulations(clip, RATE_HZ, cutoff_hz)]
            (pair,) = model.encode(torch.from_numpy(np.stack(heard)))
            pair = pair - pair.mean(1, keepdim=True)
            lost += float((pair[1] - pair[0]).square().sum())
            all_ += float(pair[0].square().sum())
        return lost / all_

    assert change("lowpass:4", 16.0) < 0.03
    assert change("lowpass:4", 1.0) > 0.5
    assert change("logmel:50", 16.0) > 3 * change("lowpass:4", 16.0)
