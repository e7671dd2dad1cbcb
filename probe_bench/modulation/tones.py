"""Which modulation frequencies can be told apart in stretches of a length at given frame rates."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoder import Layer

__all__ = ["HIGHEST_HZ", "LOWEST_HZ", "SLOW_HZ", "choose_tones", "lacking"]

LOWEST_HZ = 0.4
HIGHEST_HZ = 32.0
SLOW_HZ = 2.0
"""Gains are relative to those of tones up to here."""

_N_TONES = 18
_LEAST_TONES = 8
_APART = Fraction(99, 100)  # of the resolution: stretches may end a few samples early
_GIVE = 0.12  # how far a tone may move from its place on the logarithmic scale


def choose_tones(duration_s: Fraction, frame_rates_hz: Sequence[Fraction]) -> Tensor:
    """Return up to 18 log-spaced frequencies that stay apart at every frame rate.

    All are multiples of `1 / duration_s`. Frames see a tone f at |f mod rate|: no two tones share
    it to within the resolution, nor does any fall on 0 or on half the rate. A tone that would is
    moved by up to 12 %, or left out.

    Args:
        duration_s: Length of the stretches.
        frame_rates_hz: Rates of all layers.

    Returns:
        Frequencies in rising order, from `max(0.4, 1 / duration_s)` to 32 Hz.
    """
    lowest = max(LOWEST_HZ, 1 / float(duration_s))
    chosen: list[int] = []
    for wanted_hz in np.geomspace(lowest, HIGHEST_HZ, _N_TONES):
        place = float(wanted_hz * duration_s)
        near = range(max(1, int(place * (1 - _GIVE))), int(place * (1 + _GIVE)) + 2)
        for cycles in sorted(near, key=lambda n: abs(n - place)):
            if all(_is_free(cycles, chosen, duration_s * rate) for rate in frame_rates_hz):
                chosen.append(cycles)
                break
    return torch.tensor(sorted(chosen), dtype=torch.float64) / float(duration_s)


def lacking(mod_freq_hz: Float[Tensor, " tones"], layers: Sequence[Layer]) -> str:
    """Say why these tones do not do; empty if they do."""
    slow = int((mod_freq_hz <= SLOW_HZ).sum())
    if len(mod_freq_hz) >= _LEAST_TONES and slow >= 2:
        return ""
    rate_hz = min(layer.frame_rate_hz for layer in layers)
    return (
        f"at {float(rate_hz):g} frames/s only {len(mod_freq_hz)} tones, {slow} of them up to "
        f"{SLOW_HZ:g} Hz, do not share |f mod {float(rate_hz):g}|; at least {_LEAST_TONES} and 2 "
        "are needed; use longer clips"
    )


def _is_free(cycles: int, chosen: Sequence[int], frames: Fraction) -> bool:
    """Say whether a tone's alias keeps apart from 0, from half the rate and from all others' aliases.

    Args:
        cycles: Cycles of the tone in a stretch.
        chosen: Those of the others.
        frames: Frames in a stretch, which may be a fraction.
    """
    at = _alias(cycles, frames)
    off_ends = at >= _APART and frames / 2 - at >= _APART / 2
    return off_ends and all(abs(at - _alias(other, frames)) >= _APART for other in chosen)


def _alias(cycles: int, frames: Fraction) -> Fraction:
    rest = cycles % frames
    return min(rest, frames - rest)
