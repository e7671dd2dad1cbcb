"""Label-specific support: up to which rate a layer follows phones, energy, voicing or pitch.

The same readout transfer function as for log-mel, with another track to be predicted. Where the track
itself hardly changes there is nothing to follow: beyond `reach_hz` of its own spectrum, readings are
censored.
"""

import torch

from probe_bench.modulation.cutoff import (
    HIGH_HZ,
    MOST_CHANCE,
    chance_gain,
    power_gain,
    smoothing,
)
from probe_bench.modulation.fitting import RIDGE, Fitted, whitened
from probe_bench.modulation.held_out import predict_held_out
from probe_bench.modulation.readout import TIME_BANDWIDTH, Readout, pair_sums
from probe_bench.modulation.results import Support
from probe_bench.modulation.support import lowest_hz, support
from probe_bench.modulation.targets import Target

__all__ = ["follow", "follow_sums", "reach_hz"]

_MIN_GROUPS = 3
_LAG_COMPONENTS = 12
_REACH = 0.99


def follow(fit: Fitted, target: Target, *, seed: int, n_draws: int = 1000) -> Support:
    """Measure up to which rate a target is followed.

    Args:
        fit: Fitted readout of the layer.
        target: Tracks on the same reference rows.
        seed: Seed of the bootstrap over groups.
        n_draws: Bootstrap draws.
    """
    reason = _refusal(fit, target)
    if reason:
        return Support(reason=reason)
    sums = follow_sums(fit, target)
    high_hz = reach_hz(sums) if sums.segment_s else 0.0
    return support(sums, seed=seed, n_draws=n_draws, of=target.name, high_hz=high_hz)


def _refusal(fit: Fitted, target: Target) -> str:
    """Say why a target cannot be followed; empty if it can."""
    if target.reason:
        return target.reason
    n_groups, n_folds = (len(set(of[target.known].tolist())) for of in (fit.group, fit.clip_fold))
    if n_groups < _MIN_GROUPS or n_folds < 2:
        return (
            f"{n_groups} independent groups in {n_folds} folds have {target.name}; at least "
            f"{_MIN_GROUPS} in 2 are needed; use a corpus where more clips have them"
        )
    return f"{target.name} never changes" if target.frames.is_constant else ""


def follow_sums(fit: Fitted, target: Target) -> Readout:
    """Predict a target from single tokens at its own best lag, and sum over groups that have one."""
    track, known = target.frames.values, target.known[fit.tokens.clip]
    lag = fit.search.best(whitened(target.frames, min(_LAG_COMPONENTS, track.shape[1])), known)
    rows, inside = (part[:, 0] for part in fit.pairing.rows(torch.tensor([lag])))
    used = (inside & known).nonzero()[:, 0]
    rows, clip = rows[used], fit.tokens.clip[used]
    fold = fit.fold[used]
    inputs = (z[used] for z in fit.projected)
    predicted, means = predict_held_out(inputs, track[rows], fold, ridge=RIDGE)
    row_fold = fit.clip_fold[fit.bands.frames.clip]
    return pair_sums(fit, predicted - means[fold], track - means[row_fold], rows, clip, lag)


def reach_hz(sums: Readout) -> float:
    """Return the rate up to which it can be told whether a track is followed, at most 40 Hz.

    Below it lie 99 % of the power of the track's own modulations, and what of the power gain is due to
    chance is less than a tenth of the largest gain.
    """
    low_hz = lowest_hz(sums.segment_s, TIME_BANDWIDTH)
    inside = (sums.mod_freq_hz >= low_hz) & (sums.mod_freq_hz <= HIGH_HZ)
    smooth = smoothing(sums.mod_freq_hz, low_hz)
    cross, power = (part.sum((0, 1)) for part in (sums.cross, sums.power))
    predicted_power, chance = sums.predicted_power.sum(0), sums.chance.sum(0)
    gain = power_gain(cross, power, smooth)
    by_chance = chance_gain(cross, power, predicted_power, chance) @ smooth.weights.T
    doubtful = by_chance > MOST_CHANCE * gain.cummax(0).values
    share = power[inside].cumsum(0) / power[inside].sum()
    own_hz = float(sums.mod_freq_hz[inside][int((share < _REACH).sum())])
    doubtful_hz: list[float] = smooth.mod_freq_hz[doubtful].tolist()
    return min(HIGH_HZ, own_hz, *doubtful_hz[:1])
