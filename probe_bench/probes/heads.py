"""Train many heads side by side: their weights are one stack, every batch of data is read once for all.

A head is one layer of the encoder at one setting. Heads share the order of the data, the first weights
and the random numbers of dropout, and nothing else: the loss is a sum over heads and Adam works
weight by weight, so each ends where it would have ended alone. Each keeps the weights of its own best
epoch on validation data and leaves the stack when it has not improved for some epochs.

Random numbers are drawn on the CPU, so a GPU trains on the same ones.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.adam import Adam
from probe_bench.probes.stitching import largest_index

__all__ = [
    "Head",
    "Parameters",
    "Problem",
    "Setting",
    "Trained",
    "best_head",
    "first_weights",
    "grid",
    "train_heads",
]

Batch = TypeVar("Batch")

Parameters = tuple[Float[Tensor, "heads ..."], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What is chosen on validation data.

    Attributes:
        lr: Learning rate of Adam.
        weight_decay: Share of each weight lost a step and unit of learning rate (decoupled:
            Loshchilov & Hutter 2019).
        dropout: Share of the hidden units that are silent in a step.
    """

    lr: float
    weight_decay: float = 0.0
    dropout: float = 0.0

    def __str__(self) -> str:
        decay = f";weight_decay={self.weight_decay:g}" if self.weight_decay else ""
        return f"lr={self.lr:g}{decay}" + (f";dropout={self.dropout:g}" if self.dropout else "")


@runtime_checkable
class Problem(Protocol, Generic[Batch]):
    """What the heads learn from and are judged by."""

    def batches(self, generator: torch.Generator) -> Iterable[Batch]:
        """Yield the training data once, with all that is random about it drawn from the generator."""
        ...

    def losses(
        self,
        parameters: Parameters,
        heads: Int[Tensor, " heads"],
        batch: Batch,
    ) -> Float[Tensor, " heads"]:
        """Loss of each head; `heads` says which are still there, ascending."""
        ...

    def values(self, parameters: Parameters, heads: Int[Tensor, " heads"]) -> Sequence[float]:
        """Judge each head on validation data; higher is better, NaN where undefined."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Heads at their best epochs.

    Attributes:
        parameters: Weights.
        values: Validation value of each head.
        epochs: Epoch of each head's weights, from 1.
    """

    parameters: Parameters
    values: tuple[float, ...]
    epochs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Head:
    """One head, as a stack of one.

    Attributes:
        parameters: Weights.
        setting: Its setting.
        value: Its validation value.
    """

    parameters: Parameters
    setting: Setting
    value: float


def grid(
    lr: Sequence[float], weight_decay: Sequence[float] = (0.0,), dropout: Sequence[float] = (0.0,)
) -> tuple[Setting, ...]:
    """List all combinations, the one that is kept among equals first."""
    return tuple(
        Setting(lr=rate, weight_decay=decay, dropout=drop)
        for rate in lr
        for decay in weight_decay
        for drop in dropout
    )


def first_weights(
    heads: int, shape: tuple[int, ...], fan_in: int, generator: torch.Generator
) -> Float[Tensor, "heads ..."]:
    """Draw uniform weights in ±1 / sqrt(fan_in), torch's own start, the same for every head."""
    drawn = torch.rand(shape, generator=generator) * 2 - 1
    return (drawn / math.sqrt(fan_in)).expand(heads, *shape).clone()


def train_heads(
    problem: Problem[Batch],
    start: Parameters,
    settings: Sequence[Setting],
    *,
    seed: int,
    max_epochs: int,
    patience: int,
) -> Trained:
    """Train every head by its own setting.

    Args:
        problem: Data, loss and validation.
        start: First weights.
        settings: One a head.
        seed: Of the order of the data and of dropout.
        max_epochs: Passes over the training data.
        patience: A head leaves when it has not improved for so many epochs.
    """
    generator = torch.Generator().manual_seed(seed)
    best = tuple(tensor.clone() for tensor in start)
    values, epochs = [-math.inf] * len(settings), [0] * len(settings)
    stack = _Stack(start, settings)
    for epoch in range(1, max_epochs + 1):
        for batch in problem.batches(generator):
            stack.step(problem, batch)
        for row, (head, value) in enumerate(
            zip(stack.heads.tolist(), problem.values(stack.parameters, stack.heads), strict=True)
        ):
            if value > values[head]:
                values[head], epochs[head] = value, epoch
                for kept, now in zip(best, stack.parameters, strict=True):
                    kept[head] = now[row]
        going = [
            row for row, head in enumerate(stack.heads.tolist()) if epoch - epochs[head] < patience
        ]
        if not going:
            break
        stack.keep(going)
    return Trained(parameters=best, values=tuple(values), epochs=tuple(epochs))


def best_head(trained: Trained, settings: Sequence[Setting], place: int) -> Head:
    """Return the head of a layer that validates best, the first of equal ones.

    Args:
        trained: Heads `layers x settings`, settings fastest.
        settings: Settings of each layer.
        place: Of the layer in the stack.
    """
    first = place * len(settings)
    best = largest_index(trained.values[first : first + len(settings)])
    return Head(
        parameters=tuple(tensor[first + best : first + best + 1] for tensor in trained.parameters),
        setting=settings[best],
        value=trained.values[first + best],
    )


class _Stack:
    """The heads that are still in training, with their optimisers."""

    def __init__(self, start: Parameters, settings: Sequence[Setting]) -> None:
        device = start[0].device
        self.heads = torch.arange(len(settings), device=device)
        self.parameters: Parameters = tuple(tensor.clone() for tensor in start)
        self._adams = [Adam(tensor) for tensor in start]
        self._lr = torch.tensor([s.lr for s in settings], device=device)
        self._decay = torch.tensor([s.lr * s.weight_decay for s in settings], device=device)

    def step(self, problem: Problem[Batch], batch: Batch) -> None:
        """Move every head by one batch; biases (one axis) do not decay."""
        weights = tuple(tensor.requires_grad_() for tensor in self.parameters)
        loss = problem.losses(weights, self.heads, batch).sum()
        gradients = torch.autograd.grad(loss, weights)
        moved = []
        for tensor, adam, gradient in zip(weights, self._adams, gradients, strict=True):
            old, axes = tensor.detach(), (-1,) + (1,) * (tensor.dim() - 1)
            change = adam.step(gradient, self._lr.view(axes))
            if tensor.dim() > 2:
                change -= self._decay.view(axes) * old
            moved.append(old + change)
        self.parameters = tuple(moved)

    def keep(self, rows: list[int]) -> None:
        """Let the other heads go."""
        if len(rows) == len(self.heads):
            return
        kept = torch.tensor(rows, device=self.heads.device)
        self.heads, self._lr, self._decay = self.heads[kept], self._lr[kept], self._decay[kept]
        self.parameters = tuple(tensor[kept] for tensor in self.parameters)
        for adam in self._adams:
            adam.keep(kept)
