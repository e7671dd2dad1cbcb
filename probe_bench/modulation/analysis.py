"""Support, recovery and output speed of every layer of an encoder on a corpus.

*Support* is the fastest modulation of the sound that a linear readout of one token can follow.
The same is asked of phones, energy, voicing and pitch, and of ripples of every rate and scale.
*Recovery* says what a readout with context gets back of every modulation frequency, and how many bits
a second that is. *Output speed* is where the power of the features' own modulation spectrum lies; it is no cutoff,
and on speech an encoder that passes everything has one of about 5 Hz.
"""

from collections.abc import Sequence
from typing import Any

import torch

from probe_bench.features import Features
from probe_bench.modulation.fitting import TOKENS_PER_DIM, Fitted, fit_readout
from probe_bench.modulation.following import follow
from probe_bench.modulation.information import recovery
from probe_bench.modulation.joint import joint_support
from probe_bench.modulation.readout import band_readout
from probe_bench.modulation.recovery import recover
from probe_bench.modulation.reference import Bands, Reference
from probe_bench.modulation.results import Joint, LayerModulation, Recovery, Support
from probe_bench.modulation.speed import speed
from probe_bench.modulation.support import support
from probe_bench.modulation.targets import Target
from probe_bench.modulation.tokens import Tokens, flatten, without_position_mean

__all__ = ["measure"]

_MIN_GROUPS = 3
_MIN_CLIP_S = 1.0
_DIMS_NEEDED = 48


def measure(
    features: Features,
    reference: Reference,
    *,
    seed: int,
    n_draws: int = 1000,
    shuffled: bool = False,
) -> list[LayerModulation]:
    """Measure every layer of one encoder.

    One layer is held in memory at a time, and of the corpus only the clips that the reference chose:
    the peak is about `20 * reference.duration_s * frame_rate_hz * dim` bytes, whatever the corpus.

    Args:
        features: Features of all clips of the reference's corpus.
        reference: Clips, groups and log-mel bands, shared by all encoders on this corpus.
        seed: Seed of the bootstrap; nothing else is random.
        n_draws: Bootstrap draws.
        shuffled: Pair every clip with features of another group's: the null of the support.

    Returns:
        One result a layer, in order.
    """
    order = _other_groups(reference) if shuffled else range(len(reference.clips))
    clips = [reference.clips[i] for i in order]
    return [
        _measure_layer(features, i, clips, reference, seed=seed, n_draws=n_draws)
        for i in range(len(features.layers))
    ]


def _measure_layer(
    features: Features,
    index: int,
    clips: Sequence[int],
    reference: Reference,
    *,
    seed: int,
    n_draws: int,
) -> LayerModulation:
    layer, bands = features.layers[index], reference.bands(features.layers[index])
    frames = [clip.cpu() for clip in features.frames(index, clips)]
    tokens = without_position_mean(flatten(frames))
    reason = _refusal(tokens, bands, reference)
    group, n_groups, rate_hz = reference.group, reference.n_groups, float(layer.frame_rate_hz)
    targets = reference.targets(layer)
    if reason:
        read = _unread(targets, reason)
    else:
        fit = fit_readout(tokens, bands, group, n_groups=n_groups)
        read = _read(fit, targets, seed=seed, n_draws=n_draws)
    return LayerModulation(
        layer=layer,
        **read,
        speed=speed(tokens, rate_hz, group, n_groups=n_groups, seed=seed, n_draws=n_draws),
        n_clips=len(clips),
        n_groups=n_groups,
        duration_s=reference.duration_s,
    )


def _read(fit: Fitted, targets: Sequence[Target], *, seed: int, n_draws: int) -> dict[str, Any]:
    """Everything that starts from one fitted readout."""
    found = support(band_readout(fit), seed=seed, n_draws=n_draws)
    return {
        "support": found,
        "followed": {
            target.name: follow(fit, target, seed=seed, n_draws=n_draws) for target in targets
        },
        "recovery": recovery(recover(fit), seed=seed, n_draws=n_draws),
        "joint": Joint(reason=found.reason)
        if found.reason
        else joint_support(fit, seed=seed, n_draws=n_draws),
    }


def _unread(targets: Sequence[Target], reason: str) -> dict[str, Any]:
    """The same where there is no readout."""
    return {
        "support": Support(reason=reason),
        "followed": {target.name: Support(reason=reason) for target in targets},
        "recovery": Recovery(reason=reason),
        "joint": Joint(reason=reason),
    }


def _refusal(tokens: Tokens, bands: Bands, reference: Reference) -> str:
    """Say why support cannot be measured; empty if it can."""
    if reference.n_groups < _MIN_GROUPS:
        return (
            f"independent groups: {reference.n_groups}; at least {_MIN_GROUPS} are needed to hold "
            "some out; add speakers or recordings"
        )
    clip_s = float(bands.frames.lengths.double().median() / float(bands.grid.rate_hz))
    if clip_s < _MIN_CLIP_S:
        return (
            f"half of the clips are shorter than {clip_s:.2f} s; at least {_MIN_CLIP_S:g} s are "
            "needed to see modulations below 2 Hz; use longer clips"
        )
    wanted = TOKENS_PER_DIM * min(tokens.values.shape[1], _DIMS_NEEDED)
    if len(tokens.values) < wanted:
        return f"{len(tokens.values)} frames; at least {wanted} are needed; use more audio"
    if tokens.is_constant:
        return "the features are constant"
    return ""


def _other_groups(reference: Reference) -> list[int]:
    """For every clip a clip of another group, each clip once.

    In the order of groups, a shift by the size of the largest group leaves every group, as long as no
    group holds more than half of the clips.
    """
    by_group = reference.group.argsort(stable=True)
    shift = int(torch.bincount(reference.group).max())
    partner = torch.empty_like(by_group)
    partner[by_group] = by_group.roll(shift)
    return [int(i) for i in partner]
