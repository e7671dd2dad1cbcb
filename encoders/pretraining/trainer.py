"""The training loop: every step is a function of (state, seed, step), so it resumes exactly."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.autograd.profiler import record_function
from torch.nn.parallel import DistributedDataParallel

from probe_bench.encoders.pretraining.agreement import Agreement, ViewBatch
from probe_bench.encoders.pretraining.blocks.stack import BlockStack
from probe_bench.encoders.pretraining.data.batches import seed_of
from probe_bench.encoders.pretraining.gather import rank, world_size
from probe_bench.encoders.pretraining.jepa import Jepa, MaskedBatch, StepOutput
from probe_bench.encoders.pretraining.monitors import Row, monitor
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.errors import UserError

__all__ = ["Trainer", "build_model"]


def build_model(recipe: Recipe, seed: int) -> Jepa | Agreement:
    """Initialise the model of a recipe from a seed, leaving the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Jepa(recipe) if recipe.views is None else Agreement(recipe)


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """A model and its optimiser.

    Attributes:
        model: Changed in place by every step.
        parallel: The model itself, or the wrapper that averages gradients over processes.
        optimiser: AdamW over everything but the teacher.
        seed: Of what is drawn within a step.
        device: Where the model lives.
    """

    model: Jepa | Agreement
    parallel: nn.Module
    optimiser: torch.optim.AdamW
    seed: int
    device: torch.device

    @classmethod
    def start(cls, recipe: Recipe, *, seed: int, device: str, compiled: bool = False) -> "Trainer":
        """Build a fresh model and its optimiser.

        Args:
            recipe: What to train.
            seed: Of the initialisation and of every step.
            device: `cpu`, `cuda`, `cuda:1` ...
            compiled: Compile the blocks of encoder, teacher and predictor (dynamic shapes).
        """
        place = torch.device(device)
        model = build_model(recipe, seed).to(place)
        if compiled:
            _compile(model)
        parallel: nn.Module = model
        if world_size() > 1:
            ids = [place.index or 0] if place.type == "cuda" else None
            parallel = DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)
        optimiser = recipe.optimiser.build(_trained(model))
        return cls(model=model, parallel=parallel, optimiser=optimiser, seed=seed, device=place)

    @property
    def recipe(self) -> Recipe:
        """What is trained."""
        return self.model.recipe

    def step(self, step: int, batch: MaskedBatch | ViewBatch, *, monitored: bool = False) -> Row:
        """Do one step and return what is logged; the monitors cost one more forward pass."""
        recipe = self.recipe
        batch = batch.to(self.device)
        with record_function("forward"), self._random(step), self._precision():
            output = self.parallel(batch)
        with record_function("backward"):
            self.optimiser.zero_grad(set_to_none=True)
            output.loss.backward()
        with record_function("optimiser"):
            norm = self._clip()
            lr = recipe.optimiser.set(self.optimiser, step, recipe.steps)
            self.optimiser.step()
        row: Row = {"step": step + 1} | _losses(output) | {"lr": lr, "grad_norm": norm.item()}
        if not all(math.isfinite(float(row[name])) for name in ("loss", "grad_norm")):
            raise _diverged(step, f"loss {row['loss']}, gradient norm {row['grad_norm']}")
        if isinstance(self.model, Jepa) and recipe.teacher is not None:
            row["ema"] = rate = recipe.teacher.rate(step, recipe.steps)
            with record_function("teacher"):
                self.model.update_teacher(rate)
        return row | self._monitor(step, batch, output) if monitored else row

    def _clip(self) -> Tensor:
        """Return the gradient's norm; no pass over the gradients is spent where none is clipped."""
        trained = [p for p in _trained(self.model) if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        limit = self.recipe.optimiser.clip_norm
        if limit is not None:
            nn.utils.clip_grads_with_norm_(trained, limit, norm)
        return norm

    @torch.no_grad()
    def _monitor(self, step: int, batch: MaskedBatch | ViewBatch, output: StepOutput) -> Row:
        encoder = self.model.encoder
        encoder.eval()
        with self._precision():
            tokens = encoder.frontend.project(encoder.frontend.features(batch.waveform))
            last = encoder.transformer(tokens + encoder.positions[: tokens.shape[1]])[-1]
            if self.recipe.targets.final_norm:
                last = encoder.transformer.norm(last)
        encoder.train()
        if not (last.isfinite().all() and tokens.isfinite().all()):
            raise _diverged(step, "features that are no numbers")
        return monitor(self.recipe, batch, output, stem=tokens.float(), encoder=last.float())

    @contextlib.contextmanager
    def _random(self, step: int) -> Iterator[None]:
        """Draw from a generator of this step's and process's own."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed_of(self.seed, step, rank()))
            yield

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        enabled = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            yield

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
            self.optimiser.state[names[name]][moment] = value.to(self.device)


def _diverged(step: int, found: str) -> UserError:
    return UserError(
        f"step {step + 1}: {found}; expected numbers; the training has diverged: lower the learning "
        "rate or clip the gradient"
    )


def _compile(model: nn.Module) -> None:
    """Compile the blocks of encoder, teacher and predictor: alike, so that one compilation serves."""
    for stack in model.modules():
        if isinstance(stack, BlockStack):
            for block in stack.blocks:
                block.compile(dynamic=True)


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _losses(output: StepOutput) -> Row:
    """Loss and its terms, averaged over processes."""
    terms = torch.stack([output.loss.detach(), output.prediction, output.penalty])
    if world_size() > 1:
        dist.all_reduce(terms)
        terms = terms / world_size()
    loss, prediction, penalty = terms.tolist()
    return {"loss": loss, "prediction": prediction, "penalty": penalty}
