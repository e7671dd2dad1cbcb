"""What of the audio can be predicted across a gap, and which model foretells the cutoffs."""

import numpy as np
import pytest
import torch

from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.studies.cutoff import predictability as module
from probe_bench.studies.cutoff.audio import at_tempo, modulated_noise, narrow, slow
from probe_bench.studies.cutoff.predictability import Curve, compare_rivals, predictability


def _at(curve: Curve, hz: float) -> float:
    return float(np.interp(hz, curve.mod_freq_hz, curve.r2))


def test_a_coherent_line_is_predictable_across_a_second_and_slow_noise_is_not() -> None:
    fast, drifting = (
        predictability(modulated_noise(kind, n_clips=20), [1.0])[0] for kind in (narrow, slow)
    )
    # The noise under the envelopes cannot be foretold, so even a sine in it has no R² of 1.
    assert _at(fast, 12.0) > 0.5
    assert _at(drifting, 1.0) < 0.15


def test_cosines_are_orthonormal_and_stand_at_half_cycles() -> None:
    basis = module._dct(16)
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64))
    signs = (basis[5] > 0).int().diff().abs().sum()
    assert signs == 5


def test_a_curve_is_read_between_its_points() -> None:
    curve = Curve(
        span_s=0.5, mod_freq_hz=np.array([0.0, 1, 2, 3]), r2=np.array([0.8, 0.6, 0.2, 0.1])
    )
    assert curve.falls_to(0.4) == pytest.approx(1.5)
    # The ends do not depend on the span: a floor that did would have the shape of the law.
    assert curve.falls_to(0.9) == 0.25
    assert curve.falls_to(0.05) == 20.0


def _curves() -> list[Curve]:
    """R² that falls with f T, as in scale-free modulation."""
    hz = np.linspace(0, 20, 400)
    return [
        Curve(span_s=span, mod_freq_hz=hz, r2=np.exp(-hz * span)) for span in (0.1, 0.2, 0.4, 0.8)
    ]


def test_the_model_that_made_the_cutoffs_misses_least() -> None:
    curves = _curves()
    foretold = {curve.span_s: curve.falls_to(0.3) for curve in curves}
    rivals = compare_rivals(foretold, curves)
    assert rivals.predictable < 0.05
    assert rivals.rho2 == pytest.approx(0.3, rel=0.1)
    assert rivals.constant > 0.5
    flat = compare_rivals(dict.fromkeys(foretold, 8.0), curves)
    assert flat.constant == pytest.approx(0, abs=1e-9)
    assert flat.law > 0.5


def test_tempo_changes_length_and_modulation_rate_and_leaves_the_pitch() -> None:
    rate_hz, n = 16_000, 64_000
    time_s = np.arange(n) / rate_hz
    sound = (1 + 0.8 * np.sin(2 * np.pi * 4 * time_s)) * np.sin(2 * np.pi * 500 * time_s)
    tape = Tape(samples=(10_000 * sound).astype(np.int16), lengths=np.array([n]))
    fast = at_tempo(tape, 2.0)
    assert fast.n_samples == n // 2
    spectrum = np.abs(np.fft.rfft(fast.samples * np.hanning(n // 2)))
    assert np.argmax(spectrum) * rate_hz / (n // 2) == pytest.approx(500, abs=3)
    envelope = np.abs(fast.samples.astype(float)).reshape(-1, 160).mean(1)
    rates = np.abs(np.fft.rfft(envelope - envelope.mean()))
    assert np.argmax(rates) * 100 / len(envelope) == pytest.approx(8, abs=0.6)


@pytest.mark.parametrize("kind", [narrow, slow])
def test_noise_has_the_modulation_that_its_name_says(kind: object) -> None:
    envelope = kind(160_000, np.random.default_rng(0))  # type: ignore[operator]
    power = np.abs(np.fft.rfft(envelope, axis=1)) ** 2
    hz = np.fft.rfftfreq(160_000, 1 / 16_000)
    inside = (abs(hz - 12) < 0.2) if kind is narrow else (hz > 0) & (hz < 4)
    assert power[:, inside].sum() / power[:, hz > 0].sum() > 0.95
    assert envelope.std() == pytest.approx(1, rel=0.1)
