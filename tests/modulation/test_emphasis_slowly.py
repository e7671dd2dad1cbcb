"""Emphasis again, slowly: loops in NumPy that share nothing with the estimator but tones and phases."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from probe_bench.modulation.emphasis import pair_power, same_density
from probe_bench.modulation.responses import respond
from probe_bench.modulation.ripples import Ripples, draw_ripples
from probe_bench.modulation.stretches import Stretches
from probe_bench.modulation.tones import choose_tones
from probe_bench.studies.known_cutoffs import linear, through_perceptron
from probe_bench.studies.made import MadeEncoder, Part

Array = NDArray[np.float64]
RATE_HZ, WINDOW, HOP = 16_000, 256, 64


def field(ripples: Ripples, clip: int, time_s: float) -> Array:
    """m / A of one clip at one time, on the bins of the short-time transform."""
    octaves = np.log2(np.maximum(np.arange(WINDOW // 2 + 1), 1) * RATE_HZ / WINDOW)
    total = np.zeros(len(octaves))
    for k, f in enumerate(ripples.mod_freq_hz.tolist()):
        density, phase = float(ripples.density[clip, k]), float(ripples.phase[clip, k])
        total += np.sin(2 * np.pi * (f * time_s + density * octaves) + phase)
    return total


def rippled(x: Array, ripples: Ripples, clip: int, sign: int) -> Array:
    """Overlap-add, window by window."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    padded = np.pad(x, WINDOW // 2, mode="reflect")
    out, norm = np.zeros_like(padded), np.zeros_like(padded)
    for n in range(1 + (len(padded) - WINDOW) // HOP):
        part = slice(n * HOP, n * HOP + WINDOW)
        spectrum = np.fft.rfft(padded[part] * window)
        gain = np.exp(sign * 0.08 * field(ripples, clip, n * HOP / RATE_HZ))
        out[part] += np.fft.irfft(spectrum * gain) * window
        norm[part] += window**2
    return (out / np.maximum(norm, 1e-12))[WINDOW // 2 : WINDOW // 2 + len(x)]


def responses(frames: Array, rate_hz: float, ripples: Ripples, clip: int) -> NDArray[np.complex128]:
    """Least squares, one dimension at a time."""
    time_s = 0.0125 + np.arange(len(frames)) / rate_hz
    columns = [np.ones_like(time_s)]
    for f in ripples.mod_freq_hz.tolist():
        columns += [np.cos(2 * np.pi * f * time_s), np.sin(2 * np.pi * f * time_s)]
    found = []
    for dimension in frames.T:
        c = np.linalg.lstsq(np.stack(columns, 1), dimension, rcond=None)[0][1:].reshape(-1, 2)
        found.append((c[:, 0] - 1j * c[:, 1]) * np.exp(-1j * ripples.phase[clip].numpy()))
    return np.stack(found, 1)


def power(of_clips: list[NDArray[np.complex128]], ripples: Ripples) -> Array:
    """|mean|² less variance over n, averaged over densities."""
    powers = np.zeros(len(ripples.mod_freq_hz))
    for k in range(len(powers)):
        for density in (0.0, 0.5, 1.0):
            mine = [i for i in range(len(of_clips)) if float(ripples.density[i, k]) == density]
            r = np.stack([of_clips[i][k] for i in mine])
            mean = r.mean(0)
            variance = (abs(r - mean) ** 2).sum() / (len(mine) - 1)
            powers[k] += ((abs(mean) ** 2).sum() - variance / len(mine)) / 3
    return powers


def whitened(frames: list[Array], responses: list[NDArray[np.complex128]]) -> list[Array]:
    """Onto principal components of unit variance, those above 1e-4 of the fourth largest."""
    centred = np.concatenate([f - np.mean(frames, 0) for f in frames])
    variance, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    keep = variance > max(1e-4 * variance[-4], 1e-10 * variance[-1])
    return [r @ axes[:, keep] / np.sqrt(variance[keep]) for r in responses]


def slow_curves(make: Callable[[Tensor], list[Tensor]], clips: Tensor, ripples: Ripples) -> Array:
    """Gain relative to slow tones, variance-weighted and whitened; log-mel is the second output."""
    both: list[tuple[list[Array], list[NDArray[np.complex128]]]] = [([], []), ([], [])]
    for i, clip in enumerate(clips.double().numpy()):
        plus, minus = (
            make(torch.from_numpy(rippled(clip, ripples, i, sign)).float()[None])
            for sign in (1, -1)
        )
        for kept, p, m, rate_hz in zip(both, plus, minus, (50.0, 100.0), strict=True):
            kept[0].append(p[0].double().numpy())
            kept[1].append(responses((p - m)[0].double().numpy(), rate_hz, ripples, i))
    curves = []
    for change in (lambda _, r: r, whitened):
        own, sound = (power(change(*kept), ripples) for kept in both)
        curves.append(own / sound)
    return np.stack(curves)


@pytest.mark.parametrize(
    "part", [linear(6.0), through_perceptron(6.0)], ids=["linear", "perceptron"]
)
def test_curves_are_those_of_slow_loops(part: Part, waveforms: tuple[list[Tensor], Tensor]) -> None:
    clips = torch.stack([clip[:32_000] for clip in waveforms[0][:9]])
    stretches = Stretches(waveform=clips, sample_rate_hz=RATE_HZ, group=waveforms[1][:9])
    encoder = MadeEncoder({"L1": part, "log-mel": Part(lambda x: x, per_token=1)})
    tones = choose_tones(stretches.duration_s, [layer.frame_rate_hz for layer in encoder.layers])
    ripples = draw_ripples(tones, 9, seed=5)
    slow = slow_curves(encoder.encode, clips, ripples)
    own, _, sound = respond(encoder, stretches, ripples, "cpu")
    pairs, ones = same_density(ripples), torch.ones(1, 9, dtype=torch.float64)
    for curve, weighting in zip(slow, ("weighted", "whitened"), strict=True):
        of_layer, of_sound = (
            pair_power(getattr(grams, weighting), pairs, ones)[0] for grams in (own, sound)
        )
        fast = (of_layer / of_sound).numpy()
        np.testing.assert_allclose(fast, curve, atol=2e-3 * curve.max())
