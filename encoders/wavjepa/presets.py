"""WavJEPA's presets: `base` is the paper's geometry, `tiny` trains in minutes on two CPU cores."""

from probe_bench.encoders.pretraining.masks import SpanMasks
from probe_bench.encoders.pretraining.recipe import OptimiserRule, Recipe, Size
from probe_bench.encoders.pretraining.stem import ConvStemShape
from probe_bench.encoders.pretraining.targets import TargetRule
from probe_bench.encoders.pretraining.teacher import EmaRule
from probe_bench.encoders.pretraining.transformer import TransformerShape

__all__ = ["PRESETS"]

_CROP_SAMPLES = 32_160  # 2.01 s: the stem gives 200 frames; 2.00 s would give 199


def _transformer(dim: int, depth: int, heads: int) -> TransformerShape:
    return TransformerShape(dim=dim, depth=depth, heads=heads, norm="post", norm_eps=1e-6)


_BASE = Recipe(
    system="wavjepa",
    size="base",
    crop_samples=_CROP_SAMPLES,
    batch_size=512,
    steps=375_000,
    frontend=ConvStemShape(),
    encoder=_transformer(768, 12, 12),
    predictor=_transformer(384, 12, 12),
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
    size="small",
    crop_samples=_CROP_SAMPLES,
    batch_size=128,
    steps=50_000,
    frontend=ConvStemShape(channels=(256,) * 6),
    encoder=_transformer(384, 8, 6),
    predictor=_transformer(192, 6, 6),
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
    size="tiny",
    crop_samples=_CROP_SAMPLES,
    batch_size=32,
    steps=3_000,
    frontend=ConvStemShape(channels=(32, 64, 64, 64, 96, 96), smooth_start=0.75),
    encoder=TransformerShape(dim=128, depth=4, heads=2),
    position_scale=0.1,
    predictor=TransformerShape(dim=96, depth=2, heads=2),
    masks=SpanMasks(span=8, groups=3, target_probability=0.25, context_probability=0.3),
    targets=TargetRule(top_k=4, normalisation="channel"),
    objective="mse",
    teacher=EmaRule(start=0.999, end=0.9999),
    optimiser=OptimiserRule(lr=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.04, clip_norm=5.0),
    precision="bfloat16",
)

PRESETS: dict[Size, Recipe] = {"tiny": _TINY, "small": _SMALL, "base": _BASE}
