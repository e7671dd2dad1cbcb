"""AdamW as the recipes use it: schedules of rate and decay, what decays, clipping."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch

from probe_bench.encoders.pretraining.ranges import NotNegative, Positive, Range, Ranged, Share
from probe_bench.encoders.pretraining.schedule import ramp, warmup_cosine

__all__ = ["OptimiserRule"]

_Beta = Annotated[float, Range(0, 0.999999)]


@dataclass(frozen=True, kw_only=True)
class OptimiserRule(Ranged):
    """AdamW with warm-up, cosine decay and clipping.

    Attributes:
        lr: Peak learning rate.
        lr_start: Learning rate at step 0.
        lr_end: Learning rate at the last step.
        warmup_fraction: Part of the training spent warming up.
        betas: Of Adam.
        eps: Of Adam.
        weight_decay: Decoupled; at step 0.
        weight_decay_end: At the last step, reached along a cosine; None to stay (I-JEPA: .04 to .4).
        decay_all: Decay norms, biases and the mask token too.
        clip_norm: Largest gradient norm; None for no clipping.
    """

    lr: NotNegative
    lr_start: NotNegative = 1e-6
    lr_end: NotNegative = 0.0
    warmup_fraction: Share = 0.1
    betas: tuple[_Beta, _Beta] = (0.9, 0.95)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.05
    weight_decay_end: NotNegative | None = None
    decay_all: bool = False
    clip_norm: Positive | None = None

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

    def weight_decay_at(self, step: int, steps: int) -> float:
        """Weight decay of one step."""
        end = self.weight_decay if self.weight_decay_end is None else self.weight_decay_end
        return ramp(step, steps=float(steps), start=self.weight_decay, end=end, shape="cosine")

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.AdamW:
        """Make the optimiser; vectors and scalars are not decayed unless asked for."""
        trained = list(parameters)
        groups = [
            {"params": [p for p in trained if p.ndim >= 2 or self.decay_all], "decays": True},
            {"params": [p for p in trained if p.ndim < 2 and not self.decay_all], "decays": False},
        ]
        kept = [group for group in groups if group["params"]]
        # One pass over the weights in place of ten; element by element, so it is exact on resuming.
        return torch.optim.AdamW(
            kept, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=0.0, fused=True
        )

    def set(self, optimiser: torch.optim.AdamW, step: int, steps: int) -> float:
        """Set the rates of one step and return the learning rate."""
        lr, decay = self.lr_at(step, steps), self.weight_decay_at(step, steps)
        for group in optimiser.param_groups:
            group["lr"] = lr
            group["weight_decay"] = decay if group["decays"] else 0.0
        return lr
