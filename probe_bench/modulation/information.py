"""From the spectra of recovered reference rows to R² by frequency and information, with intervals."""

from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe_bench.modulation.cutoff import HIGH_HZ, interval, smoothing
from probe_bench.modulation.readout import TIME_BANDWIDTH, PairSpectra
from probe_bench.modulation.recovery import Recovered
from probe_bench.modulation.results import BandEstimate, CurvePoint, Estimate, Recovery
from probe_bench.modulation.support import curve, draw_weights, estimate, lowest_hz

__all__ = ["OCTAVES_HZ", "information_density", "recovery"]

OCTAVES_HZ = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_SHARE = 0.95
_MOST_COHERENT = 1 - 1e-6  # 20 bits a sample: what float32 features can tell


def recovery(sums: Recovered, *, seed: int, n_draws: int = 1000) -> Recovery:
    """Derive R² by frequency and band and the spectral information, with intervals.

    Args:
        sums: Held-out spectra by group.
        seed: Seed of the bootstrap over groups.
        n_draws: Bootstrap draws.
    """
    freqs, low_hz = sums.mod_freq_hz, lowest_hz(sums.segment_s, TIME_BANDWIDTH)
    weights = draw_weights(sums.spectra.power.sum((1, 2)) > 0, seed, n_draws)
    error, power = (weights @ part for part in _error_and_power(sums.spectra))
    smooth = smoothing(freqs, low_hz)
    by_frequency = 1 - (error @ smooth.weights.T) / (power @ smooth.weights.T)
    inside = (freqs >= low_hz) & (freqs <= HIGH_HZ)
    bits = information_density(sums.spectra, weights, inside) * float(freqs[1] - freqs[0])
    below = bits.cumsum(1)
    share, at = below / below[:, -1:], freqs[inside]
    total = estimate(below[:, -1])
    told = total.ci_low is not None and total.ci_low > 0
    return Recovery(
        r2_bands=tuple(_band(error, power, freqs, low_hz, band) for band in pairwise(OCTAVES_HZ)),
        r2_by_frequency=curve(by_frequency, smooth.mod_freq_hz),
        bits_per_s=total,
        information_hz=estimate(at[(share >= _SHARE).long().argmax(1)]) if told else Estimate(),
        share_below=_shares(share, at) if told else (),
    )


def _error_and_power(spectra: PairSpectra) -> tuple[Tensor, Tensor]:
    """Spectra of error and reference `groups freqs`, summed over components."""
    power = spectra.power.sum(1)
    # e = y - ŷ, so S_ee = S_yy + S_ŷŷ - 2 Re S_ŷy.
    return power + spectra.predicted_power.sum(1) - 2 * spectra.cross.real.sum(1), power


def information_density(
    spectra: PairSpectra, weights: Float[Tensor, "draws groups"], inside: Bool[Tensor, " freqs"]
) -> Float[Tensor, "draws _"]:
    """Return bits per second and Hz at some frequencies, summed over components.

    Few segments look coherent by chance. So only products of different groups g, h count,

        γ² = Σ_{g≠h} C_g C_h* / Σ_{g≠h} P̂_g P_h,

    which is zero on average if prediction and reference have nothing to do with each other, and one if
    they are the same. It may come out slightly negative, so that the integral over nothing is about
    zero; a group drawn twice is still one group.
    """

    def summed(part: Tensor, by: Tensor) -> Tensor:
        return torch.einsum("dg,gkf->dkf", by.to(part.dtype), part)

    cross, power, predicted = (
        part[:, :, inside] for part in (spectra.cross, spectra.power, spectra.predicted_power)
    )
    own = weights.square()
    found = summed(cross, weights).abs().square() - summed(cross.abs().square(), own)
    most = summed(power, weights) * summed(predicted, weights) - summed(power * predicted, own)
    coherence = (found / most.clamp(min=1e-300)).clamp(min=-1, max=_MOST_COHERENT)
    bits: Tensor = -torch.log2(1 - coherence).sum(1)
    return bits


def _band(
    error: Float[Tensor, "draws freqs"],
    power: Float[Tensor, "draws freqs"],
    mod_freq_hz: Float[Tensor, " freqs"],
    low_hz: float,
    band: tuple[float, float],
) -> BandEstimate:
    """R² in a band, or why there is none."""
    if band[0] < low_hz:
        reason = f"clips show {low_hz:.2g} Hz and up, use longer ones"
        return BandEstimate(low_hz=band[0], high_hz=band[1], reason=reason)
    inside = (mod_freq_hz >= band[0]) & (mod_freq_hz < band[1])
    r2 = 1 - error[:, inside].sum(1) / power[:, inside].sum(1)
    return BandEstimate(low_hz=band[0], high_hz=band[1], estimate=estimate(r2))


def _shares(
    share: Float[Tensor, "draws freqs"], mod_freq_hz: Float[Tensor, " freqs"]
) -> tuple[CurvePoint, ...]:
    """Share below every octave edge that can be seen."""
    edges = [hz for hz in (*OCTAVES_HZ, 32.0) if hz > float(mod_freq_hz[0])]
    draws = share[:, [int((mod_freq_hz < hz).sum()) - 1 for hz in edges]]
    low, high = interval(draws[1:])
    return tuple(
        CurvePoint(mod_freq_hz=hz, value=float(v), ci_low=float(a), ci_high=float(b))
        for hz, v, a, b in zip(edges, draws[0], low, high, strict=True)
    )
