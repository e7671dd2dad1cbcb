"""Recipes shrunk to a few thousand weights, and audio with something to predict."""

import dataclasses
from typing import Any

import numpy as np

from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.encoders.pretraining.presets import presets
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["PRESETS", "SYSTEMS", "TEACHERS", "collapsing", "micro", "wandering_tones"]

SYSTEMS = sorted(presets())
PRESETS = [(system, preset) for system in SYSTEMS for preset in presets()[system]]
TEACHERS = [s for s in SYSTEMS if presets()[s]["tiny"].teacher is not None]
_FRAMES = 24
_WIDTHS: dict[str, int] = {
    "depth": 2,
    "dim": 16,
    "directions": 16,
    "heads": 2,
    "kernel": 7,
    "projections": 16,
    "residual_blocks": 1,
    "top_k": 2,
    "width": 1,
}


def micro(system: str, preset: str = "tiny", **changes: Any) -> Recipe:
    """Shrink a preset, whatever its parts are: their widths and depths, the crop and the batch."""
    recipe = presets()[system][preset]
    front = recipe.frontend
    small = dataclasses.replace(
        recipe,
        crop_samples=min(
            recipe.crop_samples, front.min_samples + (_FRAMES - 1) * front.stride_samples
        ),
        batch_size=4,
        crops_per_clip=1,
        excerpt_samples=None,
        steps=6,
        precision="float32",
        **{name: _shrunk(getattr(recipe, name)) for name in _parts(recipe)},
    )
    return dataclasses.replace(small, **changes)


def collapsing(**changes: Any) -> Recipe:
    """Return a recipe with nothing left that keeps features alive: constant within 20 steps."""
    recipe = micro("glas-jepa")
    free = dataclasses.replace(recipe.optimiser, lr=1e-2, lr_start=1e-2, warmup_fraction=0.0)
    return dataclasses.replace(
        recipe, **{"stop_gradient": False, "regulariser": None, "optimiser": free, **changes}
    )


def _parts(recipe: Recipe) -> list[str]:
    names = ("encoder", "frontend", "predictor", "projector", "regulariser", "targets")
    return [name for name in names if getattr(recipe, name) is not None]


def _shrunk(part: Any) -> Any:
    fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    small: dict[str, Any] = {n: min(v, _WIDTHS[n]) for n, v in fields.items() if n in _WIDTHS}
    small |= {n: (8,) * len(fields[n]) for n in ("channels", "hidden") if n in fields}
    return dataclasses.replace(part, **small)


def wandering_tones(seconds: float = 20.0, rate_hz: int = 16_000) -> Tape:
    """Tones whose pitch and level wander slowly, in clips of two seconds."""
    rng = np.random.default_rng(0)
    time = np.arange(int(seconds * rate_hz))
    knots = time[:: rate_hz // 4]
    pitch_hz, level = np.exp(
        [np.interp(time, knots, rng.standard_normal(len(knots))) for _ in range(2)]
    )
    samples = level * np.sin(2 * np.pi * np.cumsum(500 * pitch_hz) / rate_hz)
    samples = 20_000 * samples / np.abs(samples).max() + 10 * rng.standard_normal(len(time))
    lengths = np.full(len(time) // (2 * rate_hz), 2 * rate_hz)
    return Tape(samples=samples.astype(np.int16), lengths=lengths)
