"""LeJEPA's presets: views of a clip on Audio-JEPA's grid, in place of crops of an image.

`paper` and `code` differ in what the paper advises and its minimal program does: directions,
quadrature and weight of SIGReg.
"""

from dataclasses import replace

from probe_bench.encoders.audio_jepa.presets import LOG_MEL
from probe_bench.encoders.pretraining.blocks.projector import ProjectorShape
from probe_bench.encoders.pretraining.blocks.transformer import TransformerShape
from probe_bench.encoders.pretraining.data.augment import Augment
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.losses.sigreg import SigReg
from probe_bench.encoders.pretraining.losses.views import ViewRule
from probe_bench.encoders.pretraining.optimiser import OptimiserRule
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["PRESETS"]

# Two clips differ by what they say, not by what is heard behind them.
_AUGMENT = Augment(snr_db=(0.0, 20.0), clean_share=0.3)


def _patches(bands: int, frames: int) -> MelPatchesShape:
    return MelPatchesShape(
        bands=bands,
        hop_samples=160,
        window_samples=400,
        patch_frames=frames,
        patch_bands=16,
        **LOG_MEL,
    )


_PAPER = Recipe(
    system="lejepa",
    preset="paper",
    crop_samples=799 * 160 + 400,  # 8 s
    batch_size=512,
    steps=100_000,
    augment=_AUGMENT,
    frontend=_patches(128, 16),
    encoder=TransformerShape(dim=768, depth=12, heads=12),
    views=ViewRule(global_views=2, global_share=0.6, local_views=6, local_share=0.2),
    projector=ProjectorShape(dim=128, hidden=(2048, 2048)),
    objective_weight=0.95,
    regulariser=SigReg(weight=0.05, directions=1024, knots=9, limit=5.0),
    optimiser=OptimiserRule(
        lr=5e-4, lr_end=5e-7, warmup_fraction=0.01, betas=(0.9, 0.999), weight_decay=5e-2
    ),
    precision="bfloat16",
)

_CODE = replace(
    _PAPER,
    preset="code",
    batch_size=256,
    projector=ProjectorShape(dim=16, hidden=(2048, 2048)),
    objective_weight=0.98,
    regulariser=SigReg(weight=0.02, directions=256),
    optimiser=OptimiserRule(
        lr=2e-3, lr_end=1e-3, warmup_fraction=0.01, betas=(0.9, 0.999), weight_decay=5e-2
    ),
)

_SMALL = replace(
    _PAPER,
    preset="small",
    batch_size=128,
    steps=50_000,
    crop_samples=399 * 160 + 400,
    frontend=_patches(80, 8),
    encoder=TransformerShape(dim=384, depth=8, heads=6),
    projector=ProjectorShape(dim=64, hidden=(1024, 1024)),
    regulariser=SigReg(weight=0.05, directions=1024),
)

_TINY = replace(
    _PAPER,
    preset="tiny",
    crop_samples=319 * 160 + 400,  # 3.2 s
    batch_size=32,
    steps=2_000,
    frontend=_patches(64, 4),
    encoder=TransformerShape(dim=128, depth=4, heads=2),
    position_scale=0.25,
    views=ViewRule(global_views=2, global_share=0.4, local_views=4, local_share=0.2),
    projector=ProjectorShape(dim=32, hidden=(256, 256)),
    regulariser=SigReg(weight=0.05, directions=256),
    optimiser=OptimiserRule(lr=1e-3, lr_end=1e-6, warmup_fraction=0.05, weight_decay=5e-2),
)

PRESETS: dict[str, Recipe] = {"tiny": _TINY, "small": _SMALL, "paper": _PAPER, "code": _CODE}
