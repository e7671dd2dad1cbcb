"""The knobs of a training: what may set the cutoff, and nothing else."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from probe_bench.encoders.pretraining.losses.targets import Normalisation

__all__ = ["AUDIO", "Audio", "Knobs", "Objective"]

Objective = Literal["latent", "patches", "codes"]
Audio = Literal["speech", "half-tempo", "double-tempo", "scenes", "narrow-12hz", "noise-3hz"]
AUDIO: tuple[Audio, ...] = (
    "speech",
    "half-tempo",
    "double-tempo",
    "scenes",
    "narrow-12hz",
    "noise-3hz",
)


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """Where every knob stands; the defaults are the base that studies differ from by one knob.

    Attributes:
        trained: False for the weights that training starts from.
        span_ms: Length of every hidden span.
        objective: `latent`: outputs of the teacher's last blocks (JEPA); `patches`: the log-mel itself
            (MAE); `codes`: classes of the log-mel (BEST-RQ, in HuBERT's place).
        teacher: EMA rate of the latent objective's teacher; None: no teacher, but SIGReg.
        top_k: Last blocks of the teacher that are averaged.
        normalisation: Of each block's output, or of the patches.
        token_ms: Time between tokens; None for the scale's.
        audio: What is trained on.
    """

    trained: bool = True
    span_ms: float = 200.0
    objective: Objective = "latent"
    teacher: float | None = 0.996
    top_k: int = 1
    normalisation: Normalisation = "layer"
    token_ms: float | None = None
    audio: Audio = "speech"

    @property
    def slug(self) -> str:
        """Name of its folder: every knob that is not where the base has it."""
        base = Knobs()
        parts = [
            f"{field.name.removesuffix('_ms').replace('_', '-')}-{_short(value)}"
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != getattr(base, field.name)
        ]
        return "_".join(parts) or "base"


def _short(value: object) -> str:
    match value:
        case None | False:
            return "no"
        case float() | int():
            return f"{value:g}"
        case _:
            return str(value)
