"""WavJEPA's presets: `base` is the paper's geometry, `tiny` trains in minutes on two CPU cores."""

from typing import Any

from probe_bench.encoders.pretraining.blocks.predictor import TransformerPredictor
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.frontends.stem import ConvStemShape
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.samplers import SpanMasks
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.teacher import EmaRule

__all__ = ["PRESETS"]

_CROP_SAMPLES = 32_160  # 2.01 s: the stem gives 200 frames; 2.00 s would give 199


_POST_NORM: dict[str, Any] = {"norm": "post", "norm_eps": 1e-6}


_BASE = Recipe(
    system="wavjepa",
    preset="base",
    crop_samples=_CROP_SAMPLES,
    batch_size=512,
    crops_per_clip=8,
    excerpt_samples=160_000,
    steps=375_000,
    frontend=ConvStemShape(),
    encoder=TransformerShape(dim=768, depth=12, heads=12, **_POST_NORM),
    predictor=TransformerPredictor(dim=384, depth=12, heads=12, **_POST_NORM),
    masks=SpanMasks(),
    targets=TargetRule(top_k=8, normalisation="instance"),
    objective="mse",
    teacher=EmaRule(start=0.999, end=0.99999, ramp_fraction=100 / 375, covers="transformer"),
    optimiser=OptimiserRule(
        lr=4e-4,
        warmup_fraction=100 / 375,
        betas=(0.9, 0.98),
        eps=1e-6,
        weight_decay=0.04,
        decay_all=True,
        clip_norm=5.0,
    ),
    precision="bfloat16",
)

_SMALL = Recipe(
    system="wavjepa",
    preset="small",
    crop_samples=_CROP_SAMPLES,
    batch_size=128,
    steps=50_000,
    frontend=ConvStemShape(channels=(256,) * 6),
    encoder=TransformerShape(dim=384, depth=8, heads=6, **_POST_NORM),
    predictor=TransformerPredictor(dim=192, depth=6, heads=6, **_POST_NORM),
    masks=SpanMasks(),
    targets=TargetRule(top_k=6, normalisation="instance"),
    objective="mse",
    teacher=EmaRule(start=0.999, end=0.9999, covers="transformer"),
    optimiser=OptimiserRule(
        lr=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.04, decay_all=True, clip_norm=5.0
    ),
    precision="bfloat16",
)

_TINY = Recipe(
    system="wavjepa",
    preset="tiny",
    crop_samples=_CROP_SAMPLES,
    batch_size=32,
    steps=3_000,
    frontend=ConvStemShape(channels=(32, 64, 64, 64, 96, 96), smooth_start=0.75),
    encoder=TransformerShape(dim=128, depth=4, heads=2),
    position_scale=0.1,
    predictor=TransformerPredictor(dim=96, depth=2, heads=2),
    masks=SpanMasks(span=8, groups=3, target_probability=0.25, context_probability=0.3),
    targets=TargetRule(top_k=4, normalisation="channel"),
    objective="mse",
    teacher=EmaRule(start=0.999, end=0.9999),
    optimiser=OptimiserRule(lr=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.04, clip_norm=5.0),
    precision="bfloat16",
)

PRESETS: dict[str, Recipe] = {"tiny": _TINY, "small": _SMALL, "base": _BASE}
