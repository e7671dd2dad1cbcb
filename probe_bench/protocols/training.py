"""Train heads by a published recipe: settings of one architecture side by side, in one vmap.

Unlike `probes.heads`, which trains well, this trains as somebody else did: their first weights, batch
norm, gradient clipping, schedule, order, and their rule of when to look and what to keep.

Heads share the order of the data and the random numbers of dropout and nothing else, so each ends where
it would have ended alone.
"""

import copy
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from probe_bench.probes.adam import Adam

__all__ = ["Candidate", "Dropout", "Inputs", "Problem", "Regime", "Trained", "train"]

Inputs = Float[Tensor, "batch ..."] | tuple[Shaped[Tensor, "batch ..."], ...]
"""What a head reads of some units: one tensor, or all its arguments."""


@dataclass(frozen=True, kw_only=True)
class Regime:
    """How a protocol trains a head, and when it looks at the validation part.

    Attributes:
        batch_size: Units in a gradient step.
        counted_in: What the next three count.
        longest: The end of training.
        check_every: Between looks.
        patience: Looks without a better value after which a head stops; None: never.
        patience_epochs: Epochs that these looks have to span at least.
        shuffled: Whether every epoch has an order of its own.
        last_rate: Share of the learning rate that a cosine over epochs falls to; 1: no schedule.
        clip_norm: Gradients longer than this are shortened to it.
        l2: Strength of Adam's penalty, added to the gradient.
        weight_decay: Share of the weights that a step takes away, times the learning rate (AdamW).
        at_once: Units that are read and differentiated at once, gradients of a step adding up; None: all.
        later_wins: Whether an equal value replaces an earlier one.
        skip_single: Whether a last batch of one unit is left out, which batch norm cannot read.
        seed: Of weights, order and dropout.
    """

    batch_size: int
    counted_in: Literal["epochs", "steps"]
    longest: int
    check_every: int = 1
    patience: int | None = None
    patience_epochs: int = 0
    shuffled: bool = True
    last_rate: float = 1.0
    clip_norm: float | None = None
    l2: float = 0.0
    weight_decay: float = 0.0
    at_once: int | None = None
    later_wins: bool = False
    skip_single: bool = False
    seed: int = 42

    def steps_an_epoch(self, units: int) -> int:
        """Count the batches of so many units."""
        rest = units % self.batch_size
        kept = bool(rest) and not (self.skip_single and rest == 1 < units)
        return units // self.batch_size + kept

    def looks_to_wait(self, epoch: float) -> int | None:
        """Return the patience, given the length of an epoch in units of `check_every`'s count."""
        if self.patience is None:
            return None
        return max(self.patience, math.ceil(self.patience_epochs * epoch / self.check_every))


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One head that is tried.

    Attributes:
        setting: What tells it from the others, `key=value` joined by `;`.
        shape: Candidates of equal shape are modules of one architecture.
        build: Makes the module; its weights are drawn from torch's global generator.
        lr: Learning rate of Adam.
    """

    setting: str
    shape: str
    build: Callable[[], nn.Module]
    lr: float


class Dropout(nn.Module):
    """Dropout by a generator of its own: all heads of a stack have the same units silent.

    Args:
        rate: Share of the units that are silent in a step.
    """

    generator: torch.Generator | None = None

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "batch units"]) -> Float[Tensor, "batch units"]:
        """Silence some units and scale up the others."""
        if not self.training:
            return x
        drawn = torch.rand(x.shape, generator=self.generator).to(x.device)
        return x * (drawn >= self.rate) / (1 - self.rate)


@runtime_checkable
class Problem(Protocol):
    """What heads learn from and are judged by."""

    def __len__(self) -> int:
        """Count the training units."""
        ...

    def read(self, units: Int[Tensor, " batch"]) -> Inputs:
        """Return the inputs of some training units."""
        ...

    def losses(
        self, outputs: Float[Tensor, "heads batch ..."], units: Int[Tensor, " batch"]
    ) -> Float[Tensor, " heads"]:
        """Loss of each head, averaged over the units."""
        ...

    def values(
        self, forward: Callable[[Inputs], Float[Tensor, "heads batch ..."]]
    ) -> Sequence[float]:
        """Judge each head on validation data; higher is better, NaN where undefined."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A candidate with the weights of its best look.

    Attributes:
        candidate: What it is.
        module: In evaluation mode.
        value: Its validation value.
        epoch: Epoch of the weights, from 1.
    """

    candidate: Candidate
    module: nn.Module
    value: float
    epoch: int


def train(
    candidates: Sequence[Candidate], problem: Problem, regime: Regime, device: torch.device
) -> list[Trained]:
    """Train every candidate by the regime, in their order.

    Args:
        candidates: What is tried.
        problem: Data, loss and validation.
        regime: Batches, schedule and stopping.
        device: Where the heads work.
    """
    done: dict[int, Trained] = {}
    for shape in dict.fromkeys(candidate.shape for candidate in candidates):
        places = [k for k, candidate in enumerate(candidates) if candidate.shape == shape]
        stack = _Stack([candidates[k] for k in places], regime, device)
        done |= zip(places, stack.train(problem), strict=True)
    return [done[k] for k in range(len(candidates))]


_BUILDING = threading.Lock()  # torch's modules draw from one generator
_State = Mapping[str, Float[Tensor, "heads ..."]]


class _Stack:
    """Candidates of one architecture and their optimisers; those that stopped leave."""

    def __init__(
        self, candidates: Sequence[Candidate], regime: Regime, device: torch.device
    ) -> None:
        self._candidates, self._regime = candidates, regime
        modules = [_built(candidate, regime.seed).to(device) for candidate in candidates]
        weights, buffers = stack_module_state(modules)
        self._weights: _State = {name: x.detach() for name, x in weights.items()}
        self._buffers: _State = buffers
        self._template = copy.deepcopy(modules[0]).to("meta")
        generator = torch.Generator().manual_seed(regime.seed)
        for part in self._template.modules():
            if isinstance(part, Dropout):
                part.generator = generator
        self._modules = modules  # filled with the best weights as they come
        self._adams = {name: Adam(x) for name, x in self._weights.items()}
        self._heads = torch.arange(len(candidates), device=device)
        self._rates = torch.tensor([candidate.lr for candidate in candidates], device=device)
        self._values, self._epochs = [-math.inf] * len(candidates), [0] * len(candidates)
        self._looks_since = [0] * len(candidates)  # without a better value
        self._patience = regime.patience

    def train(self, problem: Problem) -> list[Trained]:
        """Train to the end, or until the last head has stopped."""
        regime, looked = self._regime, False
        steps_an_epoch = regime.steps_an_epoch(len(problem))
        scale = steps_an_epoch if regime.counted_in == "epochs" else 1
        self._patience = regime.looks_to_wait(steps_an_epoch / scale)
        for done, units in enumerate(_batches(len(problem), regime), 1):
            self._step(problem, units, self._rate((done - 1) // steps_an_epoch))
            last = done >= regime.longest * scale
            if done % (regime.check_every * scale) == 0 or (last and not looked):
                self._look(problem, epoch=-(-done // steps_an_epoch))
                looked = True
            if last or not len(self._heads):
                break
        return [
            Trained(candidate=candidate, module=module.eval(), value=value, epoch=epoch)
            for candidate, module, value, epoch in zip(
                self._candidates, self._modules, self._values, self._epochs, strict=True
            )
        ]

    def _rate(self, epoch: int) -> float:
        """Share of the learning rate in an epoch, from 0."""
        last = self._regime.last_rate
        return 1 - (1 - last) / 2 * (1 - math.cos(math.pi * epoch / self._regime.longest))

    def _step(self, problem: Problem, units: Int[Tensor, " batch"], rate: float) -> None:
        """Move every head by one batch."""
        self._template.train()
        weights = {name: x.requires_grad_() for name, x in self._weights.items()}
        gradients = self._gradients(weights, problem, units)
        shares = self._shares(gradients)
        moved = {}
        for name, tensor in weights.items():
            axes = (-1,) + (1,) * (tensor.dim() - 1)
            old = tensor.detach()
            gradient = gradients[name] * shares.view(axes) + self._regime.l2 * old
            lr = rate * self._rates.view(axes)
            decayed = old * (1 - lr * self._regime.weight_decay)
            moved[name] = decayed + self._adams[name].step(gradient, lr)
        self._weights = moved

    def _gradients(self, weights: _State, problem: Problem, units: Int[Tensor, " batch"]) -> _State:
        """Differentiate the loss of a batch, piece by piece."""
        pieces = torch.split(units, self._regime.at_once or len(units))
        sums = [torch.zeros_like(x) for x in weights.values()]
        for piece in pieces:
            outputs = self._forward(weights, problem.read(piece))
            loss = problem.losses(outputs, piece).sum() * (len(piece) / len(units))
            found = torch.autograd.grad(loss, list(weights.values()))
            sums = [known + new for known, new in zip(sums, found, strict=True)]
        return dict(zip(weights, sums, strict=True))

    def _shares(self, gradients: _State) -> Float[Tensor, " heads"]:
        """What clipping leaves of each head's gradient (as `torch.nn.utils.clip_grad_norm_`)."""
        if self._regime.clip_norm is None:
            return torch.ones_like(self._rates)
        squares = [g.flatten(1).square().sum(1) for g in gradients.values()]
        norm = torch.stack(squares).sum(0).sqrt()
        return (self._regime.clip_norm / (norm + 1e-6)).clamp(max=1.0)

    def _forward(self, weights: _State, x: Inputs) -> Tensor:
        """Outputs of every head on the same inputs."""
        given = x if isinstance(x, tuple) else (x,)

        def one(weights: _State, buffers: _State) -> Tensor:
            outputs: Tensor = functional_call(self._template, (dict(weights), dict(buffers)), given)
            return outputs

        outputs: Tensor = vmap(one, randomness="same")(weights, self._buffers)
        return outputs

    def _look(self, problem: Problem, epoch: int) -> None:
        """Judge every head, keep what is better than before, let go what has stopped."""
        self._template.eval()
        with torch.no_grad():
            values = problem.values(lambda x: self._forward(self._weights, x))
        going = []
        for row, (head, value) in enumerate(zip(self._heads.tolist(), values, strict=True)):
            known = self._values[head]
            if value > known or (value == known and self._regime.later_wins):
                self._values[head], self._epochs[head] = value, epoch
                self._looks_since[head] = 0
                self._keep(head, row)
            else:
                self._looks_since[head] += 1
            if self._patience is None or self._looks_since[head] < self._patience:
                going.append(row)
        if len(going) < len(self._heads):
            self._let_go(torch.tensor(going, dtype=torch.long, device=self._heads.device))

    def _keep(self, head: int, row: int) -> None:
        """Write a head's state of now into its module."""
        state = {**self._weights, **self._buffers}
        self._modules[head].load_state_dict({name: x[row].detach() for name, x in state.items()})

    def _let_go(self, rows: Int[Tensor, " going"]) -> None:
        """Go on with some of the heads."""
        self._heads, self._rates = self._heads[rows], self._rates[rows]
        self._weights = {name: x[rows] for name, x in self._weights.items()}
        self._buffers = {name: x[rows] for name, x in self._buffers.items()}
        for adam in self._adams.values():
            adam.keep(rows)


def _built(candidate: Candidate, seed: int) -> nn.Module:
    """Build a module from the seed, whatever was drawn before and whatever else is being built."""
    with _BUILDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return candidate.build()


def _batches(n: int, regime: Regime) -> Iterator[Int[Tensor, " batch"]]:
    """Yield batches for ever, epoch after epoch."""
    generator = torch.Generator().manual_seed(regime.seed)
    while True:
        order = torch.randperm(n, generator=generator) if regime.shuffled else torch.arange(n)
        yield from torch.split(order, regime.batch_size)[: regime.steps_an_epoch(n)]
