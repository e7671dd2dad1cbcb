"""Audio-JEPA's presets: the paper's, its published code's, and two small ones.

`tiny` trains in minutes on two CPU cores.
"""

from dataclasses import replace
from typing import Any

from probe_bench.encoders.pretraining.blocks.predictor import TransformerPredictor
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.samplers import PatchMasks
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.teacher import EmaRule

__all__ = ["LOG_MEL", "PRESETS"]

LOG_MEL: dict[str, Any] = {"mean": -2.6, "std": 3.3}
"""Of the log-mel of standardised embedded speech, 25 ms windows at 16 kHz."""

_PAPER = Recipe(
    system="audio-jepa",
    preset="paper",
    sample_rate_hz=32_000,
    crop_samples=320_000,
    batch_size=256,
    steps=100_000,
    frontend=MelPatchesShape(
        bands=128,
        hop_samples=1250,
        window_samples=3125,
        patch_frames=16,
        patch_bands=16,
        spectrogram="kaldi",
        level="peak",
        pad_frames=2,  # 10 s give 254 frames
    ),
    encoder=TransformerShape(dim=768, depth=12, heads=12),
    predictor=TransformerPredictor(dim=384, depth=6, heads=12),
    masks=PatchMasks(),
    targets=TargetRule(final_norm=True),
    objective="mse",
    teacher=EmaRule(start=0.996, end=1.0, shape="cosine"),
    optimiser=OptimiserRule(lr=3e-4, warmup_fraction=0.01, weight_decay=0.05),
    precision="bfloat16",
    export="teacher",
)

# What the repository at its last commit does, where the paper says something else.
_CODE = replace(
    _PAPER,
    preset="code",
    frontend=MelPatchesShape(
        bands=96,
        hop_samples=625,
        window_samples=1562,
        patch_frames=16,
        patch_bands=16,
        spectrogram="kaldi",
        level="peak",
        pad_frames=2,  # 510 frames
    ),
    targets=TargetRule(final_norm=True, standardise=True),
    objective="cosine",
    # The teacher's ramp is 50 epochs of 7508 steps long, the training 100 000 steps: 1 is not reached.
    teacher=EmaRule(start=0.996, end=1.0, shape="cosine", ramp_fraction=3.754),
    # The schedulers override the optimiser's own rate and decay.
    optimiser=OptimiserRule(lr=1e-3, warmup_fraction=0.01, weight_decay=1e-6),
)

_SMALL = Recipe(
    system="audio-jepa",
    preset="small",
    crop_samples=255 * 160 + 400,
    batch_size=128,
    steps=50_000,
    frontend=MelPatchesShape(
        bands=80,
        hop_samples=160,
        window_samples=400,
        patch_frames=8,
        patch_bands=16,
        **LOG_MEL,
    ),
    encoder=TransformerShape(dim=384, depth=8, heads=6),
    predictor=TransformerPredictor(dim=192, depth=4, heads=6),
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
    preset="tiny",
    crop_samples=199 * 160 + 400,  # 2.015 s: 200 frames, 50 x 4 patches
    batch_size=32,
    steps=3_500,
    frontend=MelPatchesShape(
        bands=64,
        hop_samples=160,
        window_samples=400,
        patch_frames=4,
        patch_bands=16,
        **LOG_MEL,
    ),
    encoder=TransformerShape(dim=128, depth=4, heads=2),
    position_scale=0.25,
    predictor=TransformerPredictor(dim=96, depth=2, heads=2),
    masks=PatchMasks(),
    targets=TargetRule(top_k=4, normalisation="channel"),
    objective="mse",
    teacher=EmaRule(start=0.996, end=0.9999),
    optimiser=OptimiserRule(lr=1e-3, warmup_fraction=0.05, clip_norm=5.0),
    precision="bfloat16",
)

PRESETS: dict[str, Recipe] = {"tiny": _TINY, "small": _SMALL, "paper": _PAPER, "code": _CODE}
