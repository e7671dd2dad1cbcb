"""Schedules as functions of the step: learning rate and teacher rate."""

import math
from typing import Literal

__all__ = ["ramp", "warmup_cosine"]


def warmup_cosine(
    step: int, *, steps: int, warmup_fraction: float, peak: float, start: float, end: float
) -> float:
    """Rise linearly from `start` to `peak`, then fall along half a cosine to `end` at `steps`."""
    warmup = warmup_fraction * steps
    if step < warmup:
        return start + (peak - start) * step / warmup
    progress = (step - warmup) / max(steps - warmup, 1)
    return end + (peak - end) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def ramp(
    step: int,
    *,
    steps: float,
    start: float,
    end: float,
    shape: Literal["linear", "cosine"],
) -> float:
    """Go from `start` to `end` in `steps` and stay there."""
    progress = min(step / steps, 1.0) if steps else 1.0
    if shape == "cosine":
        progress = 0.5 * (1 - math.cos(math.pi * progress))
    return start + (end - start) * progress
