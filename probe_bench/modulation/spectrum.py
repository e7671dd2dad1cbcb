"""Modulation spectrum of a representation: how fast its output changes.

This is *output speed*. On speech it follows the input's own modulations, peaking near 5 Hz whatever
the encoder lets through above that, so it is never a cutoff.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.modulation.segments import Segments, eigenspectra
from probe_bench.modulation.tokens import Tokens

__all__ = ["TIME_BANDWIDTH", "ModulationSpectrum", "centroid_hz", "modulation_spectrum"]

TIME_BANDWIDTH = 2.0
_MIN_VARIANCE = 1e-3  # components below this share of the largest are not whitened


@dataclass(frozen=True, kw_only=True, eq=False)
class ModulationSpectrum:
    """Power spectral density, summed over segments of each group.

    Attributes:
        mod_freq_hz: Modulation frequencies, 0 to half the frame rate.
        variance_weighted: Trace of the spectral density matrix: every dimension counts by its
            variance.
        whitened: The same after whitening: every principal component counts alike.
        segment_s: Median segment length; the resolution is twice its inverse.
    """

    mod_freq_hz: Float[Tensor, " freqs"]
    variance_weighted: Float[Tensor, "groups freqs"]
    whitened: Float[Tensor, "groups freqs"]
    segment_s: float


def modulation_spectrum(
    tokens: Tokens,
    segments: Segments,
    group: Int[Tensor, " clips"],
    n_groups: int,
) -> ModulationSpectrum:
    """Estimate the spectra by multitaper averages (Slepian tapers, NW = 2, 3 tapers).

    Args:
        tokens: Frames of all clips.
        segments: Where the clips are.
        group: Group of every clip.
        n_groups: Number of groups.
    """
    # Power is invariant under rotation, so one transform of the principal components gives the
    # trace (sum over components) and the whitened trace (sum of power over variance).
    variance, axes = tokens.principal
    keep = variance > _MIN_VARIANCE * variance[-1].clamp(min=torch.finfo(torch.float32).tiny)
    whiten = torch.where(keep, 1 / variance.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
    weights = torch.stack([torch.ones_like(whiten), whiten])
    sums = torch.zeros(2, n_groups, len(segments.mod_freq_hz), dtype=torch.float64)
    rotated = (tokens.values - tokens.values.mean(0)) @ axes.float()
    for part, spectra in eigenspectra(rotated, segments, TIME_BANDWIDTH):
        power = spectra.abs().square().mean(1).double().cpu() / segments.rate_hz
        weighted = torch.einsum("wd,sdf->wsf", weights.cpu(), power)
        sums.index_add_(1, group[segments.clip[part]].cpu(), weighted)
    return ModulationSpectrum(
        mod_freq_hz=segments.mod_freq_hz,
        variance_weighted=sums[0],
        whitened=sums[1],
        segment_s=segments.median_s,
    )


def centroid_hz(
    power: Float[Tensor, "*draws freqs"],
    mod_freq_hz: Float[Tensor, " freqs"],
    low_hz: float,
    high_hz: float,
) -> Float[Tensor, "*draws"]:
    """Power-weighted mean frequency between `low_hz` and `high_hz`."""
    inside = (mod_freq_hz >= low_hz) & (mod_freq_hz <= high_hz)
    power = power[..., inside]
    return (power * mod_freq_hz[inside]).sum(-1) / power.sum(-1)
