"""The teacher: a moving average of the encoder's weights over training steps."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from probe_bench.encoders.pretraining.ranges import Positive, Ranged, Share
from probe_bench.encoders.pretraining.schedule import ramp

__all__ = ["EmaRule", "frozen_copy", "update_ema"]


@dataclass(frozen=True, kw_only=True)
class EmaRule(Ranged):
    """How the teacher follows the encoder.

    Attributes:
        start: Share of the old teacher kept at the first step.
        end: Share kept at the end of the ramp.
        ramp_fraction: Part of the training over which the rate moves.
        shape: Of the ramp.
        covers: `encoder`: front end and transformer; `transformer`: the front end is the
            student's own, detached (WavJEPA).
    """

    start: Share
    end: Share
    ramp_fraction: Positive = 1.0
    shape: Literal["linear", "cosine"] = "linear"
    covers: Literal["encoder", "transformer"] = "encoder"

    def rate(self, step: int, steps: int) -> float:
        """Share of the old teacher kept at `step`."""
        return ramp(
            step,
            steps=self.ramp_fraction * steps,
            start=self.start,
            end=self.end,
            shape=self.shape,
        )


def frozen_copy(module: nn.Module) -> nn.Module:
    """Copy a module with its weights, to be run without gradients and as at inference."""
    return copy.deepcopy(module).requires_grad_(False).eval()


@torch.no_grad()
def update_ema(teacher: Iterable[Tensor], student: Iterable[Tensor], rate: float) -> None:
    """Set teacher = rate * teacher + (1 - rate) * student, in place."""
    # lerp with a small weight computes t + w (s - t), which keeps float32 exact to one rounding.
    torch._foreach_lerp_(list(teacher), list(student), 1 - rate)
