"""Spectra against scipy.signal and closed forms."""

import numpy as np
import pytest
import torch
from scipy.signal import periodogram
from scipy.signal.windows import dpss

from probe_bench.modulation.segments import cut, eigenspectra
from probe_bench.modulation.spectrum import centroid_hz, modulation_spectrum
from probe_bench.modulation.speed import speed
from probe_bench.modulation.tokens import flatten, without_position_mean

LENGTHS = [150, 230, 700, 256]
RATE_HZ = 50.0


@pytest.fixture
def clips() -> list[torch.Tensor]:
    """Correlated noise in six dimensions of different variance, and a seventh of next to none."""
    rng = np.random.default_rng(0)
    mix = np.linalg.qr(rng.standard_normal((6, 6)))[0] @ np.diag([3, 2, 1, 1, 0.5, 0.3])
    noise = [rng.standard_normal((n, 6)) @ mix for n in LENGTHS]
    tiny = [1e-3 * rng.standard_normal((n, 1)) for n in LENGTHS]
    return [torch.from_numpy(np.hstack(pair)).float() for pair in zip(noise, tiny, strict=True)]


def test_equals_scipy_periodograms_averaged_over_tapers_and_segments(
    clips: list[torch.Tensor],
) -> None:
    tokens = flatten(clips)
    segments = cut(tokens.first, tokens.lengths, RATE_HZ)
    group = torch.tensor([0, 0, 1, 1])
    spectrum = modulation_spectrum(tokens, segments, group, 2)
    x = (tokens.values - tokens.values.mean(0)).double().numpy()
    alive = x[:, :6]
    whitener = np.linalg.cholesky(np.linalg.inv(alive.T @ alive / len(x)))
    for signal, found in (
        (x, spectrum.variance_weighted),
        (alive @ whitener, spectrum.whitened),
    ):
        expected = np.zeros((2, 129))
        for start, length, clip in zip(segments.start, segments.length, segments.clip, strict=True):
            piece = signal[start : start + length]
            for taper in dpss(int(length), 2.0, 3):
                _, power = periodogram(
                    piece.T, RATE_HZ, window=taper, nfft=256, detrend=False, scaling="density"
                )
                # One-sided: scipy doubles all but the ends.
                power[:, 1:-1] /= 2
                expected[group[clip]] += power.sum(0) * int(length) / 3
        np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_segments_cover_every_clip_and_overlap_by_half_or_more() -> None:
    tokens = flatten([torch.zeros(n, 1) for n in (5, 150, 256, 257, 1000)])
    segments = cut(tokens.first, tokens.lengths, RATE_HZ)
    assert set(segments.clip.tolist()) == {1, 2, 3, 4}
    for clip in range(1, 5):
        start = segments.start[segments.clip == clip] - tokens.first[clip]
        stop = start + segments.length[segments.clip == clip]
        assert start[0] == 0
        assert stop[-1] == tokens.lengths[clip]
        assert (start.diff() <= 128).all()


def test_transform_does_not_depend_on_what_is_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = flatten([torch.randn(n, 2) for n in LENGTHS])
    segments = cut(tokens.first, tokens.lengths, RATE_HZ)
    whole = torch.cat([s for _, s in eigenspectra(tokens.values, segments, 2.0)])
    monkeypatch.setattr("probe_bench.modulation.segments._BUDGET", 1)
    single = torch.cat([s for _, s in eigenspectra(tokens.values, segments, 2.0)])
    torch.testing.assert_close(whole, single)


def test_centroid_is_the_power_weighted_mean_within_range() -> None:
    freqs = torch.arange(10, dtype=torch.float64)
    power = torch.tensor([9, 9, 1, 0, 0, 3, 0, 0, 0, 9], dtype=torch.float64)
    assert centroid_hz(power, freqs, 2.0, 8.0).item() == pytest.approx((2 + 3 * 5) / 4)


def test_speed_of_a_tone_is_its_frequency() -> None:
    rng = torch.Generator().manual_seed(0)
    time = torch.arange(500)[:, None] / RATE_HZ
    clips = [torch.sin(2 * torch.pi * (7 * time + torch.rand(8, generator=rng))) for _ in range(12)]
    group = torch.arange(12) // 3
    found = speed(flatten(clips), RATE_HZ, group, n_groups=4, seed=0, n_draws=100)
    assert found.hz.value == pytest.approx(7, rel=0.01)
    peak = max(found.psd, key=lambda p: p.value)
    assert peak.mod_freq_hz == pytest.approx(7, abs=0.4)
    assert found.psd[0].mod_freq_hz == pytest.approx(2 / 5.12, abs=0.2)
    assert found.psd[-1].mod_freq_hz == RATE_HZ / 2


def test_density_of_white_noise_is_flat_and_of_unit_area() -> None:
    rng = torch.Generator().manual_seed(0)
    clips = [torch.randn(500, 32, generator=rng) for _ in range(12)]
    found = speed(flatten(clips), RATE_HZ, torch.arange(12), n_groups=12, seed=0, n_draws=100)
    for curve in (found.psd, found.psd_whitened):
        flat = np.array([point.value for point in curve]) * (RATE_HZ / 2 - 2 / 5.12)
        np.testing.assert_allclose(flat, 1, atol=0.15)
        assert flat.mean() == pytest.approx(1, abs=0.03)
    assert found.hz.value == pytest.approx((RATE_HZ / 2 + 2 / 5.12) / 2, rel=0.02)


def test_speed_says_why_there_is_none() -> None:
    constant = speed(flatten([torch.ones(99, 3)] * 4), RATE_HZ, torch.arange(4), n_groups=4, seed=0)
    assert (constant.hz.value, constant.reason) == (None, "the features are constant")
    for n in (3, 8):
        short = flatten([torch.randn(n, 3) for _ in range(4)])
        found = speed(short, 10.0, torch.arange(4), n_groups=4, seed=0)
        assert found.hz.value is None
        assert "use longer clips" in found.reason


def test_position_mean_is_removed_where_enough_clips_reach() -> None:
    rng = torch.Generator().manual_seed(0)
    position = torch.randn(40, 3, generator=rng)
    clips = [position[: 20 + 2 * i] + torch.randn(20 + 2 * i, 3, generator=rng) for i in range(11)]
    cleaned = without_position_mean(flatten(clips))
    first = torch.stack([c[:20] for c in cleaned.values.split(cleaned.lengths.tolist())])
    assert first.mean(0).abs().max() < 1e-6
    overall = torch.cat(clips).mean(0)
    torch.testing.assert_close(cleaned.values[-1], clips[-1][-1] - overall)
