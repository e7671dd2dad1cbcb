"""Levelling: what a readout shrinks of a component alike at all rates is no low-pass.

Noise in the features shrinks the readout of the reference's small components most, and these change
fastest. Summed as they are, their gains would fall with rate though none of them does. So each
component's cross-spectrum is divided by its own gain for slow modulations,

    T(f) = |sum_k C_k(f) / a_k| / sum_k S_k(f),    a_k = sum_slow |C_k| / sum_slow S_k,

slow being up to half of the cutoff that was found before, in two rounds.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from probe_bench.modulation.cutoff import Smoothing, crossings, power_gain

__all__ = ["levels"]

_ROUNDS = 2
_LEAST = 0.1  # of the largest gain: what is hardly read is not blown up further


def levels(
    cross: Complex[Tensor, "components freqs"],
    power: Float[Tensor, "components freqs"],
    mod_freq_hz: Float[Tensor, " freqs"],
    smooth: Smoothing,
) -> Float[Tensor, " components"]:
    """Return the gain of every component for slow modulations."""
    low_hz, high_hz = float(smooth.mod_freq_hz[0]), float(smooth.mod_freq_hz[-1])
    level = torch.ones_like(power[:, 0])
    for _ in range(_ROUNDS):
        levelled = (cross / level[:, None]).sum(0)
        gain = power_gain(levelled, power.sum(0), smooth)[None]
        cutoff_hz = min(float(crossings(gain, smooth.mod_freq_hz).high_hz), high_hz)
        slow = (mod_freq_hz >= low_hz) & (mod_freq_hz <= max(cutoff_hz / 2, 2 * low_hz))
        level = cross[:, slow].abs().sum(1) / power[:, slow].sum(1).clamp(min=1e-300)
        level = level.clamp(min=_LEAST * float(level.max())).clamp(min=1e-300)
    return level
