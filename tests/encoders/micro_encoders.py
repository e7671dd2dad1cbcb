"""Every system with a few channels and two narrow blocks, from random weights."""

import dataclasses
from typing import Any

import torch

from probe_bench.encoders.density_jepa.frontend import DensityStemShape
from probe_bench.encoders.pretraining.backbone import Backbone
from probe_bench.encoders.pretraining.frontends.patches import MelPatchesShape
from probe_bench.encoders.pretraining.frontends.stem import ConvStemShape
from probe_bench.encoders.pretraining.inference import JepaEncoder
from probe_bench.encoders.pretraining.losses.targets import TargetRule
from probe_bench.encoders.pretraining.presets import presets
from probe_bench.encoders.pretraining.recipe import Recipe

KALDI = MelPatchesShape(
    bands=32,
    hop_samples=160,
    window_samples=400,
    patch_frames=4,
    patch_bands=16,
    mean=-4.0,
    std=4.0,
    spectrogram="kaldi",
    level="peak",
    pad_frames=2,
)


def micro_recipes() -> dict[str, Recipe]:
    """The `tiny` of every system, made micro, and Audio-JEPA with Kaldi's filters."""
    recipes = {name: _shrunk(of_system["tiny"]) for name, of_system in presets().items()}
    kaldi = dataclasses.replace(recipes["audio-jepa"], frontend=KALDI, crop_samples=16_100)
    return recipes | {"kaldi": kaldi}


def _shrunk(recipe: Recipe) -> Recipe:
    frontend: Any = recipe.frontend
    if isinstance(frontend, ConvStemShape):
        frontend = dataclasses.replace(frontend, channels=(8,) * len(frontend.channels))
    elif isinstance(frontend, DensityStemShape):
        # Dilations of 1 to 125 frames: wider than some clips, than all, and than none.
        channels = (4,) * len(frontend.channels)
        frontend = dataclasses.replace(frontend, channels=channels, residual_blocks=4)
    encoder: Any = dataclasses.replace(recipe.encoder, dim=16, depth=2, heads=2)  # type: ignore[type-var]
    return dataclasses.replace(recipe, frontend=frontend, encoder=encoder, targets=TargetRule())


def micro_encoder(recipe: Recipe, name: str) -> JepaEncoder:
    """Build a backbone whose every tensor matters: no zero bias, no unit gain, own positions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = Backbone(recipe)
        with torch.no_grad():
            for tensor in (*backbone.parameters(), backbone.positions):
                tensor.add_(0.1 * torch.randn_like(tensor))
    return JepaEncoder(recipe, backbone, f"random:{name}")
