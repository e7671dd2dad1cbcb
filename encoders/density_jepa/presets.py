"""Density-adaptive JEPA's presets (stage 1); `codec_presets` has those of the waveform decoder."""

from dataclasses import replace

from probe_bench.encoders.density_jepa.frontend import DensityStemShape
from probe_bench.encoders.density_jepa.predictor import ConvPredictorShape
from probe_bench.encoders.density_jepa.spans import DensitySpanMasks
from probe_bench.encoders.pretraining.blocks.conformer import ConformerShape
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.teacher import EmaRule

__all__ = ["PRESETS"]


def _conformer(dim: int, depth: int, heads: int, kernel: int = 31) -> ConformerShape:
    return ConformerShape(
        dim=dim, depth=depth, heads=heads, kernel=kernel, activation="gelu", norm="clip"
    )


_BASE = Recipe(
    system="density-jepa",
    preset="base",
    sample_rate_hz=24_000,
    crop_samples=360_000,  # 15 s: 37 frames
    batch_size=64,
    steps=24_000,
    frontend=DensityStemShape(),
    encoder=_conformer(128, 8, 16),
    position_scale=0.0,  # convolutions know the order
    predictor=ConvPredictorShape(),
    masks=DensitySpanMasks(),
    hiding="after_encoder",
    teacher=EmaRule(start=0.996, end=0.996),
    optimiser=OptimiserRule(
        lr=1.5e-4,
        lr_start=1.5e-4,
        lr_end=1.5e-4,
        warmup_fraction=0.0,
        betas=(0.8, 0.99),
        weight_decay=1e-3,
        decay_all=True,
    ),
    precision="bfloat16",
)

_SMALL = replace(
    _BASE,
    preset="small",
    sample_rate_hz=16_000,
    crop_samples=128_000,  # 8 s of 10 frames a second
    frontend=DensityStemShape(
        channels=(32, 64, 128, 192, 256), strides=(8, 8, 5, 5), residual_blocks=4
    ),
    encoder=_conformer(128, 6, 8),
    predictor=ConvPredictorShape(heads=8),
)

# 25 frames a second and targets that are normalised over time: at 2.5 Hz a crop of seconds has
# nothing left to mask, and without the norm the masks behind the encoder are soon predicted by
# a constant.
_TINY = replace(
    _BASE,
    preset="tiny",
    sample_rate_hz=16_000,
    crop_samples=32_000,  # 2 s
    batch_size=16,
    steps=2_000,
    frontend=DensityStemShape(
        channels=(8, 16, 32, 64, 64),
        strides=(8, 5, 4, 4),
        residual_blocks=2,
        offset_spread=1.0,
        initial="fan_in",
        standardised=True,
    ),
    encoder=_conformer(64, 4, 4, kernel=15),
    predictor=ConvPredictorShape(heads=4, kernel=15),
    targets=TargetRule(top_k=4, normalisation="channel"),
    teacher=EmaRule(start=0.996, end=0.9999),
    optimiser=OptimiserRule(
        lr=1e-3, warmup_fraction=0.1, betas=(0.9, 0.98), weight_decay=1e-3, clip_norm=5.0
    ),
)

PRESETS: dict[str, Recipe] = {"tiny": _TINY, "small": _SMALL, "base": _BASE}
