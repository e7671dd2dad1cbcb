"""The training loop: every step is a function of (state, seed, step), so it resumes exactly."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from probe_bench.encoders.pretraining.jepa import Jepa, StepOutput
from probe_bench.encoders.pretraining.masks import Masks, mask_statistics, select
from probe_bench.encoders.pretraining.monitors import (
    collapse_verdict,
    feature_health,
    mean_cosine,
)
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.tape import Tape

__all__ = ["Trainer", "build_jepa"]


def build_jepa(recipe: Recipe, seed: int) -> Jepa:
    """Initialise the model of a recipe from a seed, leaving the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Jepa(recipe)


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A model, its optimiser and its data.

    Attributes:
        model: Changed in place by every step.
        optimiser: AdamW over encoder and predictor.
        tape: Training audio.
        seed: Of crops and masks.
        device: Where the model lives.
    """

    model: Jepa
    optimiser: torch.optim.AdamW
    tape: Tape
    seed: int
    device: torch.device

    @classmethod
    def start(cls, recipe: Recipe, tape: Tape, *, seed: int, device: str) -> "Trainer":
        """Build a fresh model and its optimiser."""
        place = torch.device(device)
        model = build_jepa(recipe, seed).to(place)
        return cls(model=model, optimiser=_optimiser(model), tape=tape, seed=seed, device=place)

    @property
    def recipe(self) -> Recipe:
        """What is trained."""
        return self.model.recipe

    def step(self, step: int, *, monitor: bool = False) -> dict[str, int | float | str]:
        """Do one step and return what is logged; the monitors cost one more forward pass."""
        recipe, optimiser = self.recipe, self.optimiser
        rng = np.random.default_rng((self.seed, step))
        waveform = self.tape.crops(recipe.batch_size, recipe.crop_samples, rng).to(self.device)
        masks = recipe.masks.sample(recipe.batch_size, recipe.grid, rng)
        output = self._forward(waveform, masks)
        optimiser.zero_grad(set_to_none=True)
        output.loss.backward()  # type: ignore[no-untyped-call]
        clip = recipe.optimiser.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(_trained(self.model), clip or float("inf"))
        lr = recipe.optimiser.lr_at(step, recipe.steps)
        for group in optimiser.param_groups:
            group["lr"] = lr
        optimiser.step()
        rate = recipe.teacher.rate(step, recipe.steps)
        self.model.update_teacher(rate)
        row: dict[str, int | float | str] = {"step": step + 1, "loss": output.loss.item(), "lr": lr}
        row |= {"ema": rate, "grad_norm": norm.item()}
        return row | self._monitor(waveform, masks, output) if monitor else row

    def _forward(self, waveform: Tensor, masks: Masks) -> StepOutput:
        context, targets = select(masks.context), select(masks.targets)
        with self._precision():
            return self.model(waveform, context.to(self.device), targets.to(self.device))  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        enabled = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            yield

    @torch.no_grad()
    def _monitor(
        self, waveform: Tensor, masks: Masks, output: StepOutput
    ) -> dict[str, int | float | str]:
        recipe, encoder = self.recipe, self.model.encoder
        with self._precision():
            tokens = encoder.tokens(encoder.frontend.features(waveform))
            student = encoder.transformer(tokens)[-1].float()
        health, stem = feature_health(student), feature_health(output.stem)
        frame_rate_hz = recipe.sample_rate_hz / recipe.frontend.stride_samples
        drawn = mask_statistics(masks, recipe.grid, frame_rate_hz)
        return {
            "std_batch": health.std_batch,
            "std_time": health.std_time,
            "rank_encoder": health.rank,
            "rank_teacher": feature_health(output.teacher).rank,
            "rank_stem": stem.rank,
            "teacher_cosine": mean_cosine(student, output.teacher),
            "visible_fraction": drawn.visible_fraction,
            "target_fraction": drawn.target_fraction,
            "hidden_run_ms": drawn.hidden_run_ms,
            "verdict": collapse_verdict(health, stem),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Everything a later process needs to go on, by part and name."""
        state = dict(self.model.state_dict())
        for name, parameter in self.model.named_parameters():
            for moment, value in self.optimiser.state.get(parameter, {}).items():
                state[f"optimiser.{moment}.{name}"] = value
        return state

    def restore_optimiser(self, tensors: dict[str, Tensor]) -> None:
        """Put Adam's moments (`optimiser.` tensors of `tensors`) back."""
        names = dict(self.model.named_parameters())
        for key, value in tensors.items():
            _, moment, name = key.split(".", 2)
            place = torch.device("cpu") if moment == "step" else self.device
            self.optimiser.state[names[name]][moment] = value.to(place)


def _trained(model: Jepa) -> list[torch.nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _optimiser(model: Jepa) -> torch.optim.AdamW:
    rule = model.recipe.optimiser
    plain = [p for p in _trained(model) if p.ndim < 2 and not rule.decay_all]
    decayed = [p for p in _trained(model) if p.ndim >= 2 or rule.decay_all]
    groups = [
        {"params": decayed, "weight_decay": rule.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    kept = [group for group in groups if group["params"]]
    return torch.optim.AdamW(kept, lr=rule.lr, betas=rule.betas, eps=rule.eps)
