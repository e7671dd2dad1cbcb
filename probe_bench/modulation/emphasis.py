"""Emphasis: how strongly a layer responds to modulations of each rate, compared with log-mel.

The power of the response to a tone is estimated from pairs of different clips alone,

    P_k = sum_{c != c'} Re <r_ck, r_c'k> / n(n - 1)  =  |mean_c r_ck|² - variance / n

so what does not follow the ripples adds nothing on average. The gain is P_k over the same of
log-mel; the cutoff lies where it has fallen to half of its value for slow tones.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe_bench.modulation.cutoff import censored, interval, widened
from probe_bench.modulation.responses import Grams
from probe_bench.modulation.results import CurvePoint, Emphasis, Gain
from probe_bench.modulation.ripples import DENSITIES, Ripples
from probe_bench.modulation.tones import SLOW_HZ

__all__ = [
    "bayesian_weights",
    "emphasis",
    "excess",
    "half_power_hz",
    "pair_power",
    "same_density",
    "slow_tones",
]

MIN_EXCESS = 3.0
"""One-hot codes (64 and more) reach 0 to 1.5, soft codes 4 to 8, smooth networks 30 and more."""

_HALF_OCTAVE = 2**0.5
_SYSTEMATIC = 0.06  # usual largest bias over encoders of known cutoff


def same_density(ripples: Ripples) -> Bool[Tensor, "densities tones clips clips"]:
    """Say which pairs of different clips heard a tone at which spectral density."""
    had = torch.tensor(DENSITIES)[:, None, None] == ripples.density.T
    other = ~torch.eye(had.shape[2], dtype=torch.bool)
    return had[..., :, None] & had[..., None, :] & other


def pair_power(
    gram: Float[Tensor, "tones clips clips"],
    pairs: Bool[Tensor, "densities tones clips clips"],
    weights: Float[Tensor, "draws clips"],
) -> Float[Tensor, "draws tones"]:
    """Average inner products over pairs of different clips, by how often both were drawn.

    Every density has an equal part.
    """

    def summed(matrix: Tensor) -> Tensor:
        return ((weights @ matrix) * weights).sum(-1)

    mean: Tensor = (summed(gram * pairs) / summed(pairs.double())).nanmean(0)
    return mean.T.nan_to_num()


def excess(
    gram: Float[Tensor, "tones clips clips"], pairs: Bool[Tensor, "densities tones clips clips"]
) -> Float[Tensor, " tones"]:
    """Power that all clips share over the power that chance leaves in a mean over all of them."""
    n = gram.shape[1]
    shared = pair_power(gram, pairs, torch.ones(1, n, dtype=gram.dtype))[0]
    had = pairs.any(3).double()
    by_density = (had * gram.diagonal(dim1=1, dim2=2)).sum(2) / had.sum(2)
    total = by_density.nanmean(0)
    return n * shared / (total - shared).clamp(min=1e-9 * total.clamp(min=1e-300))


def slow_tones(
    gain: Float[Tensor, "draws tones"], mod_freq_hz: Float[Tensor, " tones"]
) -> Bool[Tensor, " tones"]:
    """Return the tones up to 2 Hz whose mean gain is the level that others are compared with.

    Those within half an octave of the largest mean gain, and all that cannot be told from them: of a
    layer that responds irregularly many tones are averaged, of one with a cutoff near 1 Hz few.

    Args:
        gain: Row 0 is the sample, the others are bootstrap draws.
        mod_freq_hz: Tones in rising order.
    """
    slow = mod_freq_hz[mod_freq_hz <= SLOW_HZ]
    near = (slow >= slow[:, None]) & (slow <= _HALF_OCTAVE * slow[:, None])
    best = near[((gain[0, : len(slow)] * near).sum(1) / near.sum(1)).argmax()]
    relative = gain[1:, : len(slow)] / gain[1:, : len(slow)][:, best].mean(1, keepdim=True)
    alike = relative.quantile(0.975, dim=0) >= 1
    rest = torch.zeros(len(mod_freq_hz) - len(slow), dtype=torch.bool)
    return torch.cat([best | alike, rest])


def bayesian_weights(n_groups: int, n_draws: int, seed: int) -> Float[Tensor, "draws groups"]:
    """Weigh groups as the Bayesian bootstrap does (Rubin 1981, 10.1214/aos/1176345338).

    Drawing groups with replacement would leave some draws without two clips of a tone's density.
    """
    return torch.from_numpy(np.random.default_rng(seed).exponential(size=(n_draws, n_groups)))


def half_power_hz(
    relative: Float[Tensor, "draws tones"],
    mod_freq_hz: Float[Tensor, " tones"],
    after: int,
) -> Float[Tensor, " draws"]:
    """Return where the gain, relative to its plateau, falls below one half and stays for a tone more.

    Between two tones log(G / (1 - G)) is taken as linear in log f, which is exact for Butterworth
    filters of any order. Infinite if the gain does not fall.
    """
    n = relative.shape[1]
    below = torch.nn.functional.pad(relative < 0.5, (0, 1), value=True)
    lasting = below[:, :-1] & below[:, 1:] & (torch.arange(n) > after)
    at = lasting.int().argmax(1).clamp(min=1)
    each = torch.arange(len(relative))
    left, right = (torch.logit(relative[each, i], eps=0.01) for i in (at - 1, at))
    log_f = mod_freq_hz.log()
    share = (left / (left - right)).clamp(0, 1).nan_to_num(1.0)
    fall = torch.exp(log_f[at - 1] + share * (log_f[at] - log_f[at - 1]))
    return torch.where(lasting.any(1), fall, torch.inf)


def emphasis(
    layer: Grams,
    reference: Grams,
    ripples: Ripples,
    group: Int[Tensor, " clips"],
    *,
    seed: int,
    n_draws: int = 1000,
) -> Emphasis:
    """Derive both gain curves of a layer, their cutoffs and intervals.

    Args:
        layer: Of the layer.
        reference: Of log-mel, from the same sound.
        ripples: What was imposed.
        group: Independent unit of every clip.
        seed: Seed of the bootstrap over groups.
        n_draws: Bootstrap draws.
    """
    n_groups = int(group.max()) + 1
    drawn = bayesian_weights(n_groups, n_draws, seed)
    pairs = same_density(ripples)
    weights = torch.cat([torch.ones(1, len(group), dtype=torch.float64), drawn[:, group]])

    def gain(gram: Tensor, of_sound: Tensor) -> Gain:
        power, wanted = (pair_power(g, pairs, weights) for g in (gram, of_sound))
        return _gain(power / wanted, excess(gram, pairs), ripples.mod_freq_hz)

    return Emphasis(
        weighted=gain(layer.weighted, reference.weighted),
        whitened=gain(layer.whitened, reference.whitened),
        n_clips=len(group),
        n_groups=n_groups,
    )


def _gain(gain: Tensor, surplus: Tensor, mod_freq_hz: Tensor) -> Gain:
    """Turn gains (row 0 the sample, the others draws) into a cutoff, or say why there is none."""
    if not gain.any():
        return Gain(reason="the features do not change")
    slow = slow_tones(gain, mod_freq_hz)  # the same in all draws: a largest mean grows by chance
    after = int(slow.nonzero().max())
    relative = gain / gain[:, slow].mean(1, keepdim=True).clamp(min=1e-300)
    falls = half_power_hz(relative, mod_freq_hz, after)
    passed = (mod_freq_hz <= falls[0]) & (torch.arange(len(mod_freq_hz)) >= after)
    weakest = float(surplus[passed].min())
    if not weakest >= MIN_EXCESS:
        return Gain(excess=weakest, reason=_gate(weakest))
    lowest_hz, highest_hz = 2 * float(mod_freq_hz[0]), float(mod_freq_hz[-1])
    hz = censored(falls, lowest_hz, highest_hz)
    return Gain(
        hz=hz,
        systematic=_SYSTEMATIC,
        total_low_hz=widened(hz.value, hz.ci_low, -_SYSTEMATIC),
        total_high_hz=widened(hz.value, hz.ci_high, _SYSTEMATIC),
        excess=weakest,
        curve=_curve(relative, mod_freq_hz),
    )


def _gate(weakest: float) -> str:
    return (
        "the response to ripples is too irregular: what clips share is "
        f"{max(weakest, 0.0):.2f} times what chance leaves (at least {MIN_EXCESS:g} needed); this is "
        "so for hard quantisation and for features that follow more than the envelope"
    )


def _curve(relative: Float[Tensor, "draws tones"], mod_freq_hz: Tensor) -> tuple[CurvePoint, ...]:
    low, high = interval(relative[1:])
    points = zip(mod_freq_hz, relative[0], low, high, strict=True)
    return tuple(
        CurvePoint(mod_freq_hz=float(f), value=float(v), ci_low=float(lo), ci_high=float(hi))
        for f, v, lo, hi in points
    )
