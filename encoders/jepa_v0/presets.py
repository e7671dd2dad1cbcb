"""JEPA-v0's presets: few frames a second, frequency averaged away at the output.

Its authors name two cures, averaged targets of several layers and shorter masks: `tiny-cured` has
both.
"""

from dataclasses import replace

from probe_bench.encoders.audio_jepa.presets import LOG_MEL
from probe_bench.encoders.audio_jepa.presets import PRESETS as AUDIO_JEPA
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.samplers import SpanMasks
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["PRESETS"]


def _patches(frames: int, bands: int) -> MelPatchesShape:
    """Patches of 16 bands and so many frames of 10 ms."""
    return MelPatchesShape(
        bands=bands,
        hop_samples=160,
        window_samples=400,
        patch_frames=frames,
        patch_bands=16,
        **LOG_MEL,
    )


_BASE = replace(AUDIO_JEPA["code"], system="jepa-v0", preset="base", pool_bands=True)

_BASE_12HZ = replace(
    AUDIO_JEPA["paper"],
    system="jepa-v0",
    preset="base-12hz",
    sample_rate_hz=16_000,
    crop_samples=999 * 160 + 400,
    frontend=_patches(8, 128),
    pool_bands=True,
)

_SMALL = replace(AUDIO_JEPA["small"], system="jepa-v0", pool_bands=True)

# 4.015 s of 12.5 frames a second; spans of 5 frames are 400 ms.
_TINY = replace(
    AUDIO_JEPA["tiny"],
    system="jepa-v0",
    crop_samples=399 * 160 + 400,
    steps=2_000,
    batch_size=24,
    frontend=_patches(8, 64),
    masks=SpanMasks(span=5, groups=1, context_probability=0.7, predict_hidden=True),
    targets=TargetRule(top_k=1, normalisation="channel"),
    pool_bands=True,
)

_TINY_CURED = replace(
    _TINY,
    preset="tiny-cured",
    masks=SpanMasks(span=1, groups=1, context_probability=0.5, predict_hidden=True),
    targets=TargetRule(top_k=4, normalisation="channel"),
)

PRESETS: dict[str, Recipe] = {
    "tiny": _TINY,
    "tiny-cured": _TINY_CURED,
    "small": _SMALL,
    "base": _BASE,
    "base-12hz": _BASE_12HZ,
}
