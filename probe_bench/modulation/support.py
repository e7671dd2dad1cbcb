"""Support of a layer: cutoff, explained variance and gain curve of its readout, with intervals."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe_bench.modulation.cutoff import (
    HIGH_HZ,
    bootstrap_weights,
    censored,
    crossings,
    interval,
    power_gain,
    smoothing,
    widened,
)
from probe_bench.modulation.levelling import levels
from probe_bench.modulation.readout import TIME_BANDWIDTH, Readout
from probe_bench.modulation.results import CurvePoint, Estimate, Support

__all__ = ["MIN_R2", "curve", "draw_weights", "estimate", "lowest_hz", "support"]

MIN_R2 = 0.05
_LOWEST_HZ = 0.3
_POINTS = 30
_SYSTEMATIC_POINT = 0.06  # usual largest bias over encoders of known cutoff, with point tokens
_SYSTEMATIC_COARSE = 0.20  # with tokens that hold several instants, or are codes of a quantiser


def lowest_hz(segment_s: float, time_bandwidth: float) -> float:
    """Lowest frequency that tapered segments keep apart from their mean."""
    return max(_LOWEST_HZ, time_bandwidth / segment_s) if segment_s else math.inf


def support(
    sums: Readout,
    *,
    seed: int,
    n_draws: int = 1000,
    of: str = "log-mel",
    high_hz: float = HIGH_HZ,
) -> Support:
    """Derive the cutoff and its interval from a readout's sums.

    The lowest cutoff that can be told is `limit = 2 max(0.3 Hz, 1 / L)` for segments of L seconds
    (whole clips up to 5.12 s). Low-pass filters of known cutoff above it are recovered from clips of 1
    to 10 s within 2 % below half the token rate and within 7 % above; below the limit readings are
    too high and are given as "at most" the limit.

    Components count on the level of their own slow modulations (`levelling`).

    Args:
        sums: Held-out sums per group.
        seed: Seed of the bootstrap over groups.
        n_draws: Bootstrap draws.
        of: What was to be predicted, in words.
        high_hz: Readings above are censored.
    """
    weights = draw_weights(sums.total > 0, seed, n_draws)
    r2 = estimate(1 - (weights @ sums.error) / (weights @ sums.total))
    if r2.value is None or r2.value < MIN_R2:
        return Support(
            r2=r2,
            lag_s=sums.lag_s,
            reason=f"a linear readout explains R² = {r2.value:.3f} of {of}; at least {MIN_R2} needed",
        )
    limit_hz = 2 * lowest_hz(sums.segment_s, TIME_BANDWIDTH)
    if high_hz < 2 * limit_hz:
        return Support(
            r2=r2,
            lag_s=sums.lag_s,
            reason=f"of {of}, nothing can be told above {high_hz:.2g} Hz, and clips show "
            f"{limit_hz:.2g} Hz and up; use more or longer clips",
        )
    smooth = smoothing(sums.mod_freq_hz, limit_hz / 2, high_hz)
    level = levels(sums.cross.sum(0), sums.power.sum(0), sums.mod_freq_hz, smooth)
    cross = weights.to(torch.complex128) @ (sums.cross / level[:, None]).sum(1)
    gain = power_gain(cross, weights @ sums.power.sum(1), smooth)
    found = crossings(gain, smooth.mod_freq_hz)
    limit_hz = 2 * float(smooth.mod_freq_hz[0])
    hz = censored(found.high_hz, limit_hz, high_hz)
    systematic = _SYSTEMATIC_COARSE if sums.is_coarse else _SYSTEMATIC_POINT
    return Support(
        hz=hz,
        low_hz=censored(found.low_hz, limit_hz, high_hz),
        r2=r2,
        lag_s=sums.lag_s,
        plateau=float(found.plateau[0]),
        systematic=systematic,
        total_low_hz=widened(hz.value, hz.ci_low, -systematic),
        total_high_hz=widened(hz.value, hz.ci_high, systematic),
        gain=curve(gain / found.plateau[:, None], smooth.mod_freq_hz),
    )


def draw_weights(present: Bool[Tensor, " groups"], seed: int, n_draws: int) -> Tensor:
    """How often every group counts: in row 0 once (the sample itself), in others as drawn.

    Groups that are not present are never drawn.
    """
    n = int(present.sum())
    weights = torch.zeros(1 + n_draws, len(present), dtype=torch.float64)
    weights[0, present] = 1
    weights[1:, present] = bootstrap_weights(n, n_draws, seed)
    return weights


def curve(
    draws: Float[Tensor, "draws freqs"], mod_freq_hz: Float[Tensor, " freqs"]
) -> tuple[CurvePoint, ...]:
    """Return about 30 log-spaced points of a curve; row 0 is the curve, the rest are draws."""
    first, last = float(mod_freq_hz[0]), float(mod_freq_hz[-1])
    targets = torch.from_numpy(np.geomspace(first, last, _POINTS))
    at = torch.unique((mod_freq_hz[:, None] / targets).log().abs().argmin(0))
    low, high = interval(draws[1:, at])
    points = zip(mod_freq_hz[at], draws[0, at], low, high, strict=True)
    return tuple(
        CurvePoint(mod_freq_hz=float(f), value=float(v), ci_low=float(lo), ci_high=float(hi))
        for f, v, lo, hi in points
    )


def estimate(draws: Float[Tensor, " draws"]) -> Estimate:
    """Return the number of draw 0 with the interval of the others."""
    low, high = interval(draws[1:])
    return Estimate(value=float(draws[0]), ci_low=float(low), ci_high=float(high))
