"""A-JEPA's presets: masks that grow from rectangles to time-frequency strips."""

from dataclasses import replace

from probe_bench.encoders.audio_jepa.presets import PRESETS as AUDIO_JEPA
from probe_bench.encoders.pretraining.blocks.predictor import TransformerPredictor
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.samplers import (
    BlockMasks,
    CurriculumMasks,
    StripMasks,
)
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.teacher import EmaRule

__all__ = ["PRESETS"]

_CURRICULUM = CurriculumMasks(easy=BlockMasks(), hard=StripMasks(), start=0.01)
_KEY_DROP = 0.1  # the paper's share, there in fine-tuning only

_BASE = Recipe(
    system="a-jepa",
    preset="base",
    crop_samples=1021 * 160 + 400,  # 10.2 s: 1022 frames; the paper pads to 1024
    batch_size=512,
    steps=90_000,  # 24 epochs of 1.92 M clips
    frontend=MelPatchesShape(
        bands=128,
        hop_samples=160,
        window_samples=400,
        patch_frames=16,
        patch_bands=16,
        spectrogram="kaldi",
        mean=-4.2677,
        std=9.1377,
        pad_frames=2,
    ),
    encoder=TransformerShape(dim=768, depth=12, heads=12),
    predictor=TransformerPredictor(dim=512, depth=16, heads=16),
    masks=_CURRICULUM,
    targets=TargetRule(final_norm=True),
    teacher=EmaRule(start=0.996, end=1.0),
    optimiser=OptimiserRule(lr=2e-4),
    precision="bfloat16",
    export="teacher",
)

_SMALL = replace(
    AUDIO_JEPA["small"],
    system="a-jepa",
    masks=_CURRICULUM,
    encoder=TransformerShape(dim=384, depth=8, heads=6, key_drop=_KEY_DROP),
)

_TINY = replace(
    AUDIO_JEPA["tiny"],
    system="a-jepa",
    steps=4_000,
    # One strip of the four bands is a quarter of the grid, so two groups hide what three do at `base`.
    masks=CurriculumMasks(easy=BlockMasks(scale=(0.05, 0.1)), hard=StripMasks(groups=2)),
    encoder=TransformerShape(dim=128, depth=4, heads=2, key_drop=_KEY_DROP),
)

PRESETS: dict[str, Recipe] = {"tiny": _TINY, "small": _SMALL, "base": _BASE}
