"""Rectified LpJEPA's presets: LeJEPA's views with a ReLU at the end and RDMReg in SIGReg's place.

The published loss is 25 MSE(z1, z2) + 125 RDMReg. Our agreement of two views is a quarter of the
mean squared difference, hence 100.
"""

from dataclasses import replace

from probe_bench.encoders.lejepa.presets import PRESETS as LEJEPA
from probe_bench.encoders.pretraining.blocks.projector import ProjectorShape
from probe_bench.encoders.pretraining.losses.rdmreg import RdmReg
from probe_bench.encoders.pretraining.losses.views import ViewRule
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["PRESETS"]

_BASE = replace(
    LEJEPA["paper"],
    system="lpjepa",
    preset="base",
    batch_size=128,
    views=ViewRule(global_views=2, global_share=0.6, local_views=0),
    projector=ProjectorShape(dim=2048, hidden=(2048, 2048), rectify=True),
    objective_weight=100.0,
    regulariser=RdmReg(weight=125.0),
    optimiser=OptimiserRule(lr=5e-4, warmup_fraction=0.01, betas=(0.9, 0.999), weight_decay=1e-4),
)

_SMALL = replace(
    LEJEPA["small"],
    system="lpjepa",
    views=_BASE.views,
    projector=ProjectorShape(dim=512, hidden=(1024, 1024), rectify=True),
    objective_weight=100.0,
    regulariser=RdmReg(weight=125.0, projections=2048),
)

_TINY = replace(
    LEJEPA["tiny"],
    system="lpjepa",
    views=ViewRule(global_views=2, global_share=0.6, local_views=0),
    projector=ProjectorShape(dim=128, hidden=(256, 256), rectify=True),
    objective_weight=100.0,
    regulariser=RdmReg(weight=125.0, projections=512),
    optimiser=replace(LEJEPA["tiny"].optimiser, clip_norm=10.0),
)

PRESETS: dict[str, Recipe] = {"tiny": _TINY, "small": _SMALL, "base": _BASE}
