"""Joint support against separable filters and a two-dimensional Fourier transform."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.signal.windows import dpss
from torch import Tensor

from probe_bench.modulation.fitting import Fitted
from probe_bench.modulation.joint import (
    RATES_HZ,
    SCALES_CYC_PER_OCT,
    _band_centres_hz,
    _ripple_spectra,
    joint_support,
    ripples,
)
from probe_bench.modulation.lowpass import low_pass
from probe_bench.modulation.results import Joint

Fit = Callable[..., Fitted]
Encoded = Callable[..., list[Tensor]]


def picture(joint: Joint) -> np.ndarray:
    """Gains as `rates scales`, NaN where there is none."""
    values = [np.nan if p.gain.value is None else p.gain.value for p in joint.points]
    return np.array(values).reshape(len(RATES_HZ), len(SCALES_CYC_PER_OCT))


def test_centres_of_mel_bands_are_those_of_slaneys_scale() -> None:
    # 200/3 Hz a mel up to 1 kHz, 27 mels to a factor of 6.4 from there.
    def mel(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    mels = np.linspace(mel(20), mel(8000), 66)[1:-1]
    expected = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    np.testing.assert_allclose(_band_centres_hz(64), expected, atol=1.0)


def test_a_ripple_is_found_at_its_scale() -> None:
    scale, basis = ripples(64)
    octaves = np.log2(_band_centres_hz(64))
    basis = basis.numpy()
    for i, cycles in enumerate(SCALES_CYC_PER_OCT):
        wave = np.cos(2 * np.pi * cycles * octaves + 0.7)
        power = np.bincount(scale, weights=(wave @ basis) ** 2)
        assert int(power.argmax()) == i
        # Half a cycle per octave away, the Hann window over five octaves leaves little.
        others = np.arange(6) != i
        assert power[others].max() < 0.1 * power[i]


@pytest.mark.parametrize("cutoff_hz", [2.0, 5.0])
def test_low_pass_in_time_is_read_alike_at_every_scale(
    cutoff_hz: float, log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    clips = [low_pass(clip, 100.0, cutoff_hz) for clip in log_mels]
    fit = fitted(encoded(clips, snr_db=60, stride=2), per_token=2)
    found = picture(joint_support(fit, seed=0, n_draws=9))
    # Gain across scales differs: a readout of filtered features makes up for what the filter took on
    # average, which is more of the scales that change faster.
    assert found[0].min() > 0.6
    found = found / found[0]
    freqs = np.arange(257) / 5.12
    for row, rate_hz in zip(found, RATES_HZ, strict=True):
        octave = freqs[(freqs >= rate_hz / 2**0.5) & (freqs < rate_hz * 2**0.5)]
        expected = np.mean(1 / (1 + (octave / cutoff_hz) ** 8))
        np.testing.assert_allclose(row, expected, atol=0.08)


def test_scales_that_features_lack_have_no_gain(
    log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    scale, basis = ripples(64)
    kept = basis[:, scale <= 2].float()
    features = encoded([clip @ kept for clip in log_mels], stride=2)
    found = picture(joint_support(fitted(features, per_token=2), seed=0, n_draws=9))[:6]
    assert np.nanmin(found[:, :3]) > 0.85
    assert np.nanmax(found[:, 4:]) < 0.05


def test_all_pass_has_gain_everywhere_and_says_what_the_sound_lacks(
    log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    joint = joint_support(fitted(encoded(log_mels, stride=2), per_token=2), seed=0, n_draws=50)
    assert np.nanmin(picture(joint)[:6]) > 0.7
    assert {p.reason for p in joint.points} <= {"", "too little of it in the sound"}
    for point in joint.points:
        if not point.reason:
            assert point.gain.ci_low <= point.gain.value + 0.01
            assert point.gain.ci_high >= point.gain.value - 0.01


def test_shuffled_clips_have_no_joint_support(
    log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    features = encoded(log_mels, stride=2)
    joint = joint_support(fitted(features[3:] + features[:3], per_token=2), seed=0, n_draws=9)
    told = [p for p in joint.points if not p.reason]
    assert joint.reason == "no ripple is followed beyond chance" or len(told) < 5


def test_short_clips_leave_slow_rates_out(
    log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    speech = [piece for clip in log_mels for piece in clip.split(120) if len(piece) == 120]
    group = torch.arange(10).repeat_interleave(len(speech) // 10)
    fit = fitted(encoded(speech, stride=2), per_token=2, speech=speech, group=group)
    joint = joint_support(fit, seed=0, n_draws=9)
    slow = [p.reason for p in joint.points if p.mod_freq_hz <= 1]
    assert set(slow) == {"clips too short"}
    assert all(p.gain.value is not None for p in joint.points if 2 <= p.mod_freq_hz <= 8)


def test_spectra_equal_a_two_dimensional_transform(
    log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    speech = [clip[:400] for clip in log_mels]
    fit = fitted(encoded(speech, snr_db=3, stride=2), per_token=2, speech=speech)
    found, _, _ = _ripple_spectra(fit)
    octaves = np.arange(np.log2(250), np.log2(8000) + 1e-9, 1 / 16)
    centres = np.log2(_band_centres_hz(64))
    y = fit.bands.frames.values.double().numpy().reshape(30, 400, 64)
    cross, power = np.zeros((6, 257), complex), np.zeros((6, 257))
    for clip in range(30):
        fold = int(fit.clip_fold[clip])
        z = fit.projected[fold].double().numpy().reshape(30, 200, -1)[clip]
        at = [n for n in range(200) if 0 <= 2 * n + fit.lag < 400]
        rows = np.array([2 * n + fit.lag for n in at])
        bands = z[at] @ fit.weights.to_bands[fold].numpy()
        stuffed = np.zeros((400, 64))
        stuffed[rows] = 2 * (bands - bands.mean(0))
        centred = y[clip] - y[clip].mean(0)
        span = slice(rows[0], min(rows[0] + 2 * len(rows), 400))
        window = np.hanning(len(octaves))
        n = span.stop - span.start
        taper = dpss(n, 1.0, 1)[0] * n**0.5
        planes = []
        for part in (stuffed[span], centred[span]):
            even = np.stack([np.interp(octaves, centres, row) for row in part]) * window
            planes.append(np.fft.fft(taper[:, None] * even, 512, axis=0))
        for i, cycles in enumerate(SCALES_CYC_PER_OCT):
            for sign in (1, -1) if cycles else (1,):
                u, v = (p @ np.exp(-2j * np.pi * sign * cycles * octaves) for p in planes)
                share = 2 if cycles else 1
                # Rising and falling ripples together.
                cross[i] += (u * v.conj())[:257] / share
                power[i] += (abs(v) ** 2)[:257] / share
    scale = power.max(1, keepdims=True)
    np.testing.assert_allclose(found.power.sum(0).numpy() / scale, power / scale, atol=1e-4)
    np.testing.assert_allclose(found.cross.sum(0).numpy() / scale, cross / scale, atol=1e-4)
