"""Audio-JEPA's presets: `base` is the paper's geometry, `tiny` trains in minutes on two CPU cores."""

from probe_bench.encoders.pretraining.masks import PatchMasks
from probe_bench.encoders.pretraining.patches import MelPatchesShape
from probe_bench.encoders.pretraining.recipe import OptimiserRule, Recipe, Size
from probe_bench.encoders.pretraining.targets import TargetRule
from probe_bench.encoders.pretraining.teacher import EmaRule
from probe_bench.encoders.pretraining.transformer import TransformerShape

__all__ = ["PRESETS"]

# Of the log-mel of standardised embedded speech, 25 ms windows at 16 kHz.
_LOG_MEL_MEAN = -2.6
_LOG_MEL_STD = 3.3

_BASE = Recipe(
    system="audio-jepa",
    size="base",
    sample_rate_hz=32_000,
    # 255 hops and a window: 256 frames without the zero frames that pad 10 s to 256.
    crop_samples=255 * 1250 + 3125,
    batch_size=256,
    steps=100_000,
    frontend=MelPatchesShape(
        bands=128, hop_samples=1250, window_samples=3125, patch_frames=16, patch_bands=16
    ),
    encoder=TransformerShape(dim=768, depth=12, heads=12),
    predictor=TransformerShape(dim=384, depth=6, heads=12),
    masks=PatchMasks(),
    targets=TargetRule(final_norm=True, standardise=True),
    objective="cosine",
    teacher=EmaRule(start=0.996, end=1.0, shape="cosine"),
    optimiser=OptimiserRule(lr=3e-4, warmup_fraction=0.01, betas=(0.9, 0.95), weight_decay=0.05),
    precision="bfloat16",
    export="teacher",
)

_SMALL = Recipe(
    system="audio-jepa",
    size="small",
    crop_samples=255 * 160 + 400,
    batch_size=128,
    steps=50_000,
    frontend=MelPatchesShape(
        bands=80,
        hop_samples=160,
        window_samples=400,
        patch_frames=8,
        patch_bands=16,
        mean=_LOG_MEL_MEAN,
        std=_LOG_MEL_STD,
    ),
    encoder=TransformerShape(dim=384, depth=8, heads=6),
    predictor=TransformerShape(dim=192, depth=4, heads=6),
    masks=PatchMasks(),
    targets=TargetRule(final_norm=True, standardise=True),
    objective="cosine",
    teacher=EmaRule(start=0.996, end=1.0, shape="cosine"),
    optimiser=OptimiserRule(lr=5e-4, warmup_fraction=0.05),
    precision="bfloat16",
    export="teacher",
)

_TINY = Recipe(
    system="audio-jepa",
    size="tiny",
    crop_samples=199 * 160 + 400,  # 2.015 s: 200 frames, 50 x 4 patches
    batch_size=32,
    steps=3_500,
    frontend=MelPatchesShape(
        bands=64,
        hop_samples=160,
        window_samples=400,
        patch_frames=4,
        patch_bands=16,
        mean=_LOG_MEL_MEAN,
        std=_LOG_MEL_STD,
    ),
    encoder=TransformerShape(dim=128, depth=4, heads=2),
    position_scale=0.25,
    predictor=TransformerShape(dim=96, depth=2, heads=2),
    masks=PatchMasks(),
    targets=TargetRule(top_k=4, normalisation="channel"),
    objective="mse",
    teacher=EmaRule(start=0.996, end=0.9999),
    optimiser=OptimiserRule(lr=1e-3, warmup_fraction=0.05, clip_norm=5.0),
    precision="bfloat16",
)

PRESETS: dict[Size, Recipe] = {"tiny": _TINY, "small": _SMALL, "base": _BASE}
