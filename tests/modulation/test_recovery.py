"""R² by frequency and information against scikit-learn and scipy loops and closed forms."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import csd
from scipy.signal.windows import dpss
from sklearn.linear_model import Ridge
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.modulation.fitting import Fitted, fit_readout
from probe_bench.modulation.information import recovery
from probe_bench.modulation.lowpass import low_pass
from probe_bench.modulation.recovery import recover
from probe_bench.modulation.reference import Bands, band_grid
from probe_bench.modulation.results import Recovery
from probe_bench.modulation.tokens import flatten, without_position_mean

Array = NDArray[np.float64]
Fit = Callable[..., Fitted]
Encoded = Callable[..., list[Tensor]]


def noise_case(per_token: int, seed: int, *, snr: float, n_bands: int = 5) -> Fitted:
    """White bands, and tokens that hold the bands of all their rows in white noise."""
    rng = torch.Generator().manual_seed(seed)
    lengths = [280 + 8 * (i % 5) for i in range(20)]
    bands = [torch.randn(n, n_bands, generator=rng) for n in lengths]
    tokens = [b.unfold(0, per_token, per_token).flatten(1) for b in bands]
    noisy = [x + torch.randn(x.shape, generator=rng) / snr**0.5 for x in tokens]
    layer = Layer(
        name="L1",
        dim=noisy[0].shape[1],
        depth=1.0,
        frame_rate_hz=Fraction(100, per_token),
        first_frame_s=Fraction(1, 80),
    )
    reference = Bands(grid=band_grid(layer), frames=without_position_mean(flatten(bands)))
    group = torch.arange(20) // 4
    return fit_readout(without_position_mean(flatten(noisy)), reference, group, n_groups=5)


def slow_prediction(fit: Fitted, clip: int) -> tuple[Array, Array, list[int]]:
    """Predict the bands of one clip with the readout of its fold; rows and targets beside it."""
    per_token, n_clips = fit.bands.grid.per_token, len(fit.group)
    fold = int(fit.clip_fold[clip])
    z = fit.projected[fold].double().numpy()
    y = fit.bands.frames.values.double().numpy()
    inputs, targets = {}, {}
    for c in range(n_clips):
        first_row, first = int(fit.bands.frames.first[c]), int(fit.tokens.first[c])
        for n in range(1, int(fit.tokens.lengths[c]) - 1):
            at = [per_token * n + fit.lag + p - (per_token - 1) // 2 for p in range(per_token)]
            if at[0] >= 0 and at[-1] < fit.bands.frames.lengths[c]:
                inputs[c, n] = z[first + n - 1 : first + n + 2].reshape(-1)
                targets[c, n] = y[[first_row + i for i in at]].reshape(-1)
    train = [key for key in inputs if fit.clip_fold[key[0]] != fold]
    held = [key for key in inputs if key[0] == clip]
    x = np.stack([inputs[key] for key in train])
    ridge = Ridge(alpha=1e-3 * ((x - x.mean(0)) ** 2).sum(0).mean())
    ridge.fit(x, np.stack([targets[key] for key in train]))
    predicted = ridge.predict(np.stack([inputs[key] for key in held]))
    wanted = np.stack([targets[key] for key in held])
    mean, axes = fit.weights.y_mean[fold].numpy(), fit.weights.axes[fold].numpy()
    shape = (-1, y.shape[1])
    return (predicted.reshape(shape) - mean) @ axes, (wanted.reshape(shape) - mean) @ axes, held


def slow_spectra(fit: Fitted) -> dict[str, Array]:
    """Cross-spectra and spectra of every component, summed over clips by scipy."""
    sums: dict[str, Array] = {}
    for clip in range(len(fit.group)):
        predicted, wanted, _ = slow_prediction(fit, clip)
        u, v = (x - x.mean(0) for x in (predicted, wanted))
        how = {"fs": 100.0, "window": dpss(len(u), 1.0, 1)[0], "nperseg": len(u), "nfft": 512}
        for name, a, b in (("cross", v, u), ("power", v, v), ("predicted_power", u, u)):
            # scipy conjugates the first; the length weighs clips as the eigenspectra do.
            found = csd(a.T, b.T, detrend=False, **how)[1] * len(u)
            sums[name] = sums.get(name, 0) + found
    return sums


@pytest.mark.parametrize("per_token", [1, 2, 5])
def test_spectra_equal_loops_over_clips_with_scikit_learn_and_scipy(per_token: int) -> None:
    fit = noise_case(per_token, 0, snr=4.0)
    expected, found = slow_spectra(fit), recover(fit).spectra
    for name, values in expected.items():
        mine = getattr(found, name).sum(0).numpy() * 2 / 100  # one-sided densities
        mine[:, [0, -1]] /= 2
        scale = np.abs(values).max()
        np.testing.assert_allclose(mine, values, atol=2e-4 * scale)


def test_r2_in_bands_is_that_of_band_passed_error() -> None:
    fit = noise_case(2, 1, snr=3.0)
    sums = recover(fit)
    found = recovery(sums, seed=0, n_draws=20)
    expected = slow_spectra(fit)
    error = expected["power"] + expected["predicted_power"] - 2 * expected["cross"].real
    for band in found.r2_bands:
        inside = (sums.mod_freq_hz >= band.low_hz) & (sums.mod_freq_hz < band.high_hz)
        mine = 1 - error[:, inside.numpy()].sum() / expected["power"][:, inside.numpy()].sum()
        assert band.estimate.value == pytest.approx(mine, abs=1e-3)
        assert band.estimate.ci_low < mine < band.estimate.ci_high
        assert mine == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("snr", [0.3, 3.0, 30.0])
def test_information_of_white_noise_is_shannons(snr: float) -> None:
    # Five independent bands at 100 rows/s, each with SNR s: log2(1 + s) bits per second and Hz.
    fit = noise_case(1, 2, snr=snr)
    found = recovery(recover(fit), seed=0, n_draws=100)
    first_hz = 100 / 512
    range_hz = 40 - 2 * first_hz
    expected = 5 * range_hz * np.log2(1 + snr)
    assert found.bits_per_s.value == pytest.approx(expected, rel=0.05)
    assert found.bits_per_s.ci_low < found.bits_per_s.value < found.bits_per_s.ci_high
    assert found.information_hz.value == pytest.approx(0.95 * 40, rel=0.02)
    shares = {point.mod_freq_hz: point.value for point in found.share_below}
    assert shares[16] == pytest.approx(16 / 40, abs=0.02)
    assert list(shares) == [0.5, 1, 2, 4, 8, 16, 32]


def halfway_hz(found: Recovery) -> float:
    """Where R² falls to half of its largest value."""
    freqs = np.array([point.mod_freq_hz for point in found.r2_by_frequency])
    r2 = np.array([point.value for point in found.r2_by_frequency])
    last = np.flatnonzero(r2 > r2.max() / 2)[-1]
    return float(np.sqrt(freqs[last] * freqs[last + 1]))


@pytest.mark.parametrize("cutoff_hz", [2, 4, 8])
def test_low_pass_halves_r2_above_its_cutoff_but_within_two_and_a_half(
    cutoff_hz: int, log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    clips = [low_pass(clip, 100.0, float(cutoff_hz)) for clip in log_mels]
    found = recovery(recover(fitted(encoded(clips, stride=2), per_token=2)), seed=0, n_draws=20)
    assert 1.2 < halfway_hz(found) / cutoff_hz < 2.5
    by_band = {band.low_hz: band.estimate.value for band in found.r2_bands}
    assert by_band[cutoff_hz / 2] > 0.9
    assert by_band.get(4.0 * cutoff_hz, 0) < 0.05
    # At 30 dB, what a filter of order 4 leaves at three times its cutoff is still above the noise.
    assert found.information_hz.value < 4 * cutoff_hz


def test_all_pass_is_recovered_up_to_half_the_token_rate_and_no_further(
    log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    found = recovery(recover(fitted(encoded(log_mels, stride=4), per_token=4)), seed=0, n_draws=20)
    by_band = [band.estimate.value for band in found.r2_bands]
    assert min(by_band[:3]) > 0.9
    # Tokens at 25 Hz: 12.5 Hz is the end on the full grid, whatever the gain at the tokens.
    assert halfway_hz(found) == pytest.approx(12.5, rel=0.15)


def test_shuffled_clips_have_no_information(
    log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    features = encoded(log_mels, stride=2)
    found = recovery(recover(fitted(features[3:] + features[:3], per_token=2)), seed=0)
    assert all(band.estimate.value < 0.02 for band in found.r2_bands)
    assert found.bits_per_s.ci_low < 0.1
    assert abs(found.bits_per_s.value) < 5
    assert found.information_hz.value is None
    assert found.share_below == ()


def test_bands_below_what_clips_can_show_have_a_reason(
    log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    speech = [piece for clip in log_mels for piece in clip.split(120) if len(piece) == 120]
    group = torch.arange(10).repeat_interleave(len(speech) // 10)
    fit = fitted(encoded(speech, stride=2), per_token=2, speech=speech, group=group)
    found = recovery(recover(fit), seed=0, n_draws=20)
    assert found.r2_bands[0].estimate.value is None
    assert "use longer ones" in found.r2_bands[0].reason
    assert found.r2_bands[1].estimate.value > 0.9


def test_few_frames_leave_ten_tokens_to_an_input(
    log_mels: list[Tensor], encoded: Encoded, fitted: Fit
) -> None:
    speech = [clip[:130] for clip in log_mels[:9]]
    group = torch.arange(9) // 3
    fit = fitted(encoded(speech, stride=2), per_token=2, speech=speech, group=group)
    found = recovery(recover(fit), seed=0, n_draws=20)
    assert found.r2_bands[1].estimate.value > 0.8
