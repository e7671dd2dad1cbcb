"""I-JEPA's and V-JEPA's presets on the time-frequency grid of Audio-JEPA.

The images' optimiser, schedules and masks; 10 s of log-mel in place of 224 pixels.
"""

from dataclasses import replace

from probe_bench.encoders.audio_jepa.presets import PRESETS as AUDIO_JEPA
from probe_bench.encoders.pretraining.blocks.predictor import TransformerPredictor
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.masking.samplers import BlockMasks, MultiMasks
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.teacher import EmaRule

__all__ = ["PRESETS"]

_LAST_LAYER = TargetRule(top_k=1, normalisation="layer")

_BASE = replace(
    AUDIO_JEPA["paper"],
    system="ijepa",
    preset="base",
    batch_size=2048,
    steps=281_500,  # 300 epochs of 1.92 M clips
    predictor=TransformerPredictor(dim=384, depth=12, heads=12),
    masks=BlockMasks(),
    targets=_LAST_LAYER,
    objective="smooth_l1",
    teacher=EmaRule(start=0.996, end=1.0),
    optimiser=OptimiserRule(
        lr=1e-3,
        lr_start=2e-4,
        lr_end=1e-6,
        warmup_fraction=40 / 300,
        betas=(0.9, 0.999),
        weight_decay=0.04,
        weight_decay_end=0.4,
    ),
)

# A short and a long mask of every clip, each the union of rectangles with a context of its own. The
# whole grid less the targets is visible, and both share one pass of the teacher.
_V_MASKS = MultiMasks(
    samplers=(
        BlockMasks(groups=1, blocks=8, scale=(0.15, 0.15), context_scale=(1.0, 1.0)),
        BlockMasks(groups=1, blocks=2, scale=(0.7, 0.7), context_scale=(1.0, 1.0)),
    )
)

_VJEPA = replace(
    _BASE,
    preset="vjepa",
    masks=_V_MASKS,
    objective="l1",
    teacher=EmaRule(start=0.998, end=1.0, ramp_fraction=1.25),
    optimiser=OptimiserRule(
        lr=6.25e-4,
        lr_start=2e-4,
        lr_end=1e-6,
        warmup_fraction=40 / 300,
        betas=(0.9, 0.999),
        weight_decay=0.04,
        weight_decay_end=0.4,
        clip_norm=10.0,
    ),
)

_SMALL = replace(
    AUDIO_JEPA["small"],
    system="ijepa",
    masks=BlockMasks(),
    targets=_LAST_LAYER,
    objective="smooth_l1",
    teacher=EmaRule(start=0.996, end=1.0),
    optimiser=OptimiserRule(
        lr=1e-3, lr_start=2e-4, warmup_fraction=0.13, weight_decay=0.04, weight_decay_end=0.4
    ),
)

# At 50 x 4 tokens the published rectangles hide 240 ms of all bands: too much for minutes of training.
_TINY = replace(
    AUDIO_JEPA["tiny"],
    system="ijepa",
    steps=4_000,
    masks=BlockMasks(scale=(0.05, 0.1)),
    objective="smooth_l1",
)

PRESETS: dict[str, Recipe] = {
    "tiny": _TINY,
    "small": _SMALL,
    "base": _BASE,
    "vjepa-tiny": replace(_TINY, preset="vjepa-tiny", masks=_V_MASKS, objective="l1"),
    "vjepa": _VJEPA,
}
