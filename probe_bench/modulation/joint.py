"""Support over rate and scale: which ripples of the log-mel picture can be read from a layer.

The log-mel bands of an instant, on an axis of octaves, are taken apart into ripples of so many cycles
per octave. What the readout of the layer predicts of each ripple is compared with what it does, at
every modulation frequency: the transfer function over the two-dimensional Fourier transform.

Source: Chi et al. 1999, Spectro-temporal modulation transfer functions and speech intelligibility;
Elliott & Theunissen 2009, The modulation transfer function for speech intelligibility.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe_bench.logmel import mel_filters
from probe_bench.modulation.cutoff import MOST_CHANCE, chance_gain, interval
from probe_bench.modulation.fitting import Fitted
from probe_bench.modulation.readout import TIME_BANDWIDTH, PairSpectra, stuffed_spectra
from probe_bench.modulation.results import Estimate, Joint, JointPoint
from probe_bench.modulation.support import draw_weights, lowest_hz

__all__ = ["RATES_HZ", "SCALES_CYC_PER_OCT", "joint_support", "ripples"]

RATES_HZ = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SCALES_CYC_PER_OCT = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
_SPAN_HZ = (250.0, 8000.0)  # below, mel bands are wider than a third of an octave
_PER_OCTAVE = 16


def joint_support(fit: Fitted, *, seed: int, n_draws: int = 1000) -> Joint:
    """Measure the power gain for ripples of every rate and scale, relative to the largest.

    The readout is that of the support, of all bands.

    Args:
        fit: Fitted readout of the layer.
        seed: Seed of the bootstrap over groups.
        n_draws: Bootstrap draws.
    """
    spectra, mod_freq_hz, segment_s = _ripple_spectra(fit)
    octaves = _octaves(mod_freq_hz)
    weights = draw_weights(spectra.power.sum((1, 2)) > 0, seed, n_draws)
    gain, by_chance = (part @ octaves for part in _gain(spectra, weights))
    seen = torch.tensor(RATES_HZ) / 2**0.5 >= lowest_hz(segment_s, TIME_BANDWIDTH)
    if not seen.any():
        return Joint(reason=f"segments of {segment_s:.2g} s are too short; use longer clips")
    sure = seen & (by_chance[0] < MOST_CHANCE * gain[0])
    if not sure.any():
        return Joint(reason="no ripple is followed beyond chance")
    largest = gain[:, sure].amax(1)[:, None, None]
    doubtful = by_chance[0] > MOST_CHANCE * largest[0]
    return Joint(points=tuple(_points(gain / largest, seen, doubtful)))


def _ripple_spectra(fit: Fitted) -> tuple[PairSpectra, Float[Tensor, " freqs"], float]:
    """Spectra of predicted and true ripples, both phases of a scale together."""
    bands = fit.bands.frames.values
    scale, basis = ripples(bands.shape[1])
    fold = fit.fold[fit.paired]
    predicted = bands.new_zeros(len(fold), basis.shape[1])
    for k, z in enumerate(fit.projected):
        held = fold == k
        predicted[held] = z[fit.paired[held]] @ (fit.weights.to_bands[k] @ basis).to(z)
    clip = fit.tokens.clip[fit.paired]
    found, segments = stuffed_spectra(fit, predicted, bands @ basis.to(bands), fit.rows, clip)

    def by_scale(part: Tensor) -> Tensor:
        shape = (len(part), len(SCALES_CYC_PER_OCT), part.shape[2])
        return part.new_zeros(shape).index_add_(1, scale, part)

    spectra = PairSpectra(
        cross=by_scale(found.cross),
        power=by_scale(found.power),
        predicted_power=by_scale(found.predicted_power),
        chance=by_scale(found.chance),
    )
    return spectra, segments.mod_freq_hz, segments.median_s


def ripples(n_bands: int) -> tuple[Tensor, Float[Tensor, "bands ripples"]]:
    """Return the scale (its index) of every ripple, and its share of every mel band.

    Bands between 250 Hz and 8 kHz are interpolated to steps of a sixteenth of an octave, under a Hann
    window over those five octaves: scales are told apart to 0.4 cycles per octave.
    """
    first, last = np.log2(_SPAN_HZ)
    octaves = np.arange(first, last + 1e-9, 1 / _PER_OCTAVE)
    between = np.stack(
        [np.interp(octaves, np.log2(_band_centres_hz(n_bands)), unit) for unit in np.eye(n_bands)]
    )
    window = np.sin(np.pi * np.linspace(0, 1, len(octaves))) ** 2
    columns, scale = [], []
    for i, cycles in enumerate(SCALES_CYC_PER_OCT):
        phase = 2 * np.pi * cycles * octaves
        waves = [np.cos(phase), np.sin(phase)] if cycles else [np.ones_like(phase)]
        columns += [between @ (window * wave) for wave in waves]
        scale += [i] * len(waves)
    return torch.tensor(scale), torch.from_numpy(np.stack(columns, 1))


def _band_centres_hz(n_bands: int) -> Float[np.ndarray, " bands"]:
    """Where the triangles of the reference's mel filters peak, to half a hertz."""
    fine, rate_hz = 1 << 14, 16_000
    centres: Float[np.ndarray, " bands"] = (
        mel_filters(n_bands, fine, rate_hz).argmax(0).numpy() * rate_hz / fine
    )
    return centres


def _octaves(mod_freq_hz: Float[Tensor, " freqs"]) -> Float[Tensor, "freqs rates"]:
    """Mean over an octave around every rate."""
    rates = torch.tensor(RATES_HZ, dtype=torch.float64)
    distance = (mod_freq_hz[:, None] / rates).log2()
    inside = ((distance >= -0.5) & (distance < 0.5)).double()
    return inside / inside.sum(0).clamp(min=1)


def _gain(
    spectra: PairSpectra, weights: Float[Tensor, "draws groups"]
) -> tuple[Float[Tensor, "draws scales freqs"], Float[Tensor, "draws scales freqs"]]:
    """|T|² of every draw, less what is due to chance, and that; a group drawn twice counts fourfold."""

    def summed(part: Tensor, by: Tensor) -> Tensor:
        return torch.einsum("dg,gsf->dsf", by.to(part.dtype), part)

    cross, power = summed(spectra.cross, weights), summed(spectra.power, weights).clamp(min=1e-300)
    chance = summed(spectra.chance, weights.square())
    by_chance = chance_gain(cross, power, summed(spectra.predicted_power, weights), chance)
    return cross.abs().square() / power.square() - by_chance, by_chance


def _points(
    relative: Float[Tensor, "draws scales rates"],
    seen: Bool[Tensor, " rates"],
    doubtful: Bool[Tensor, "scales rates"],
) -> Iterator[JointPoint]:
    """Every ripple with its gain, or with the reason why there is none."""
    low, high = interval(relative[1:])
    for j, rate_hz in enumerate(RATES_HZ):
        for i, scale in enumerate(SCALES_CYC_PER_OCT):
            reason = "" if seen[j] else "clips too short"
            if seen[j] and doubtful[i, j]:
                reason = "too little of it in the sound"
            gain = Estimate(
                value=float(relative[0, i, j]), ci_low=float(low[i, j]), ci_high=float(high[i, j])
            )
            yield JointPoint(
                mod_freq_hz=rate_hz,
                scale_cyc_per_oct=scale,
                gain=Estimate() if reason else gain,
                reason=reason,
            )
