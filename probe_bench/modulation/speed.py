"""Output speed of a layer: its modulation spectrum and the spectrum's centroid, with intervals."""

import torch
from jaxtyping import Int
from torch import Tensor

from probe_bench.modulation.cutoff import HIGH_HZ, bootstrap_weights, interval
from probe_bench.modulation.results import CurvePoint, Estimate, Speed
from probe_bench.modulation.segments import cut
from probe_bench.modulation.spectrum import TIME_BANDWIDTH, centroid_hz, modulation_spectrum
from probe_bench.modulation.support import curve, lowest_hz
from probe_bench.modulation.tokens import Tokens

__all__ = ["speed"]


def speed(
    tokens: Tokens,
    frame_rate_hz: float,
    group: Int[Tensor, " clips"],
    *,
    n_groups: int,
    seed: int,
    n_draws: int = 1000,
) -> Speed:
    """Measure how fast features change, between `2 / segment` and `min(frame rate / 2, 40)` Hz.

    Args:
        tokens: Frames of one layer, per-position mean subtracted.
        frame_rate_hz: Frames per second.
        group: Group of every clip.
        n_groups: Number of groups.
        seed: Seed of the bootstrap over groups.
        n_draws: Bootstrap draws.
    """
    segments = cut(tokens.first, tokens.lengths, frame_rate_hz)
    low_hz, high_hz = lowest_hz(segments.median_s, TIME_BANDWIDTH), min(frame_rate_hz / 2, HIGH_HZ)
    if tokens.is_constant:
        return Speed(reason="the features are constant")
    if not low_hz < high_hz / 2:
        return Speed(
            reason=f"segments of {segments.median_s:.2f} s resolve {low_hz:.2g} Hz and up; at "
            f"{frame_rate_hz:g} frames/s less than an octave is left; use longer clips"
        )
    spectrum = modulation_spectrum(tokens, segments, group, n_groups)
    weights = torch.cat(
        [torch.ones(1, n_groups, dtype=torch.float64), bootstrap_weights(n_groups, n_draws, seed)]
    )
    draws = weights @ spectrum.variance_weighted
    centroid = centroid_hz(draws, spectrum.mod_freq_hz, low_hz, high_hz)
    low, high = interval(centroid[1:])
    inside = (spectrum.mod_freq_hz >= low_hz) & (spectrum.mod_freq_hz <= high_hz)
    freqs = spectrum.mod_freq_hz[inside]
    return Speed(
        hz=Estimate(value=float(centroid[0]), ci_low=float(low), ci_high=float(high)),
        psd=_density(draws[:, inside], freqs),
        psd_whitened=_density((weights @ spectrum.whitened)[:, inside], freqs),
    )


def _density(draws: Tensor, mod_freq_hz: Tensor) -> tuple[CurvePoint, ...]:
    """Scale every draw to unit area."""
    step_hz = mod_freq_hz[1] - mod_freq_hz[0]
    return curve(draws / (draws.sum(1, keepdim=True) * step_hz), mod_freq_hz)
