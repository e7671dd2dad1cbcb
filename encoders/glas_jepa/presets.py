"""GLaS-JEPA's presets: one Conformer that fills its own masked frames in, kept from collapse by SIGReg."""

from dataclasses import replace

from probe_bench.encoders.audio_jepa.presets import LOG_MEL
from probe_bench.encoders.pretraining.blocks.conformer import ConformerShape
from probe_bench.encoders.pretraining.blocks.projector import ProjectorShape
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.losses.sigreg import SigReg
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.samplers import SpanMasks
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["PRESETS"]

_BASE = Recipe(
    system="glas-jepa",
    preset="base",
    crop_samples=3199 * 80 + 400,  # 16 s: 800 frames of 20 ms
    batch_size=250,  # about 4000 s
    steps=220_000,
    frontend=MelPatchesShape(
        bands=80, hop_samples=80, window_samples=400, patch_frames=4, patch_bands=80, **LOG_MEL
    ),
    encoder=ConformerShape(dim=576, depth=8, heads=8, kernel=31),
    masks=SpanMasks(span=10, context_probability=0.69, predict_hidden=True),
    hiding="mask_token",
    projector=ProjectorShape(dim=128),
    targets=TargetRule(final_norm=True),
    objective_weight=0.99,
    regulariser=SigReg(weight=0.01),
    optimiser=OptimiserRule(lr=1e-4, warmup_fraction=40 / 220, weight_decay=1e-3),
    precision="bfloat16",
)

_SMALL = replace(
    _BASE,
    preset="small",
    crop_samples=639 * 80 + 400,
    batch_size=128,
    steps=50_000,
    encoder=ConformerShape(dim=256, depth=8, heads=4, kernel=31),
    optimiser=OptimiserRule(lr=5e-4, warmup_fraction=0.1, weight_decay=1e-3),
)

_TINY = replace(
    _BASE,
    preset="tiny",
    crop_samples=399 * 80 + 400,  # 2 s: 100 frames
    batch_size=32,
    steps=2_000,
    encoder=ConformerShape(dim=128, depth=4, heads=2, kernel=15, mlp_ratio=2.0),
    position_scale=0.25,
    projector=ProjectorShape(dim=16),
    regulariser=SigReg(weight=0.005, directions=256),
    optimiser=OptimiserRule(lr=1e-3, warmup_fraction=0.1, weight_decay=1e-3, clip_norm=5.0),
)

PRESETS: dict[str, Recipe] = {"tiny": _TINY, "small": _SMALL, "base": _BASE}
