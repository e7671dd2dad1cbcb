"""A recipe: everything that decides a pretraining, as one frozen value that travels as JSON."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from probe_bench.encoders.pretraining.frontend import grid
from probe_bench.encoders.pretraining.masks import Grid, PatchMasks, SpanMasks
from probe_bench.encoders.pretraining.objective import Objective
from probe_bench.encoders.pretraining.patches import MelPatchesShape
from probe_bench.encoders.pretraining.schedule import warmup_cosine
from probe_bench.encoders.pretraining.stem import ConvStemShape
from probe_bench.encoders.pretraining.targets import TargetRule
from probe_bench.encoders.pretraining.teacher import EmaRule
from probe_bench.encoders.pretraining.transformer import TransformerShape

__all__ = ["OptimiserRule", "Recipe", "Size", "from_json", "to_json"]

Size = Literal["tiny", "small", "base"]


@dataclass(frozen=True, kw_only=True)
class OptimiserRule:
    """AdamW with warm-up, cosine decay and clipping.

    Attributes:
        lr: Peak learning rate.
        lr_start: Learning rate at step 0.
        lr_end: Learning rate at the last step.
        warmup_fraction: Part of the training spent warming up.
        betas: Of Adam.
        eps: Of Adam.
        weight_decay: Decoupled.
        decay_all: Decay norms, biases and the mask token too.
        clip_norm: Largest gradient norm; None for no clipping.
    """

    lr: float
    lr_start: float = 1e-6
    lr_end: float = 0.0
    warmup_fraction: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.05
    decay_all: bool = False
    clip_norm: float | None = None

    def lr_at(self, step: int, steps: int) -> float:
        """Learning rate of one step."""
        return warmup_cosine(
            step,
            steps=steps,
            warmup_fraction=self.warmup_fraction,
            peak=self.lr,
            start=self.lr_start,
            end=self.lr_end,
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One pretraining, part by part; schedules are fractions of `steps`.

    Attributes:
        system: Name of the system.
        size: Name of the preset.
        sample_rate_hz: Rate of the audio.
        crop_samples: Length of a training crop, and of the windows at inference.
        batch_size: Crops in a step.
        steps: Length of the training.
        frontend: Waveform to tokens.
        encoder: Of student and teacher.
        position_scale: Amplitude of the encoder's positions. What they add runs through every
            block's output into the targets, where it is predicted for nothing.
        predictor: Its `dim` may differ from the encoder's.
        masks: Sampler of context and targets.
        targets: From teacher outputs to targets.
        objective: Distance between prediction and target.
        teacher: Moving average of the encoder.
        optimiser: AdamW and its schedules.
        precision: Of the forward pass; weights and losses are float32.
        export: Whose weights inference uses.
    """

    system: str
    size: Size
    sample_rate_hz: int = 16_000
    crop_samples: int
    batch_size: int
    steps: int
    frontend: ConvStemShape | MelPatchesShape
    encoder: TransformerShape
    position_scale: float = 1.0
    predictor: TransformerShape
    masks: SpanMasks | PatchMasks
    targets: TargetRule
    objective: Objective
    teacher: EmaRule
    optimiser: OptimiserRule
    precision: Literal["float32", "bfloat16"] = "float32"
    export: Literal["student", "teacher"] = "student"

    @property
    def grid(self) -> Grid:
        """Token grid of one crop."""
        return grid(self.frontend, self.crop_samples)

    @property
    def inference(self) -> dict[str, Any]:
        """The fields that decide what the encoder computes from given weights."""
        names = ("sample_rate_hz", "crop_samples", "frontend", "encoder", "position_scale")
        return {name: to_json(getattr(self, name)) for name in names}


_PARTS = {
    part.__name__: part
    for part in (
        Recipe,
        ConvStemShape,
        MelPatchesShape,
        TransformerShape,
        SpanMasks,
        PatchMasks,
        TargetRule,
        EmaRule,
        OptimiserRule,
    )
}


def to_json(value: Any) -> Any:
    """Turn a recipe or a part of one into JSON values; dataclasses carry their `kind`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    return list(value) if isinstance(value, tuple) else value


def from_json(value: Any) -> Any:
    """Turn the JSON values of `to_json` back.

    Raises:
        KeyError: If a kind is unknown.
        TypeError: If the fields are not those of the kind.
    """
    if isinstance(value, Mapping):
        fields = {name: from_json(field) for name, field in value.items() if name != "kind"}
        return _PARTS[value["kind"]](**fields)
    return tuple(value) if isinstance(value, list) else value
