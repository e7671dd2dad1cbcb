"""Stacked training against a plain loop with torch.optim, and the rules of when to look and stop."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from probe_bench.protocols.training import Candidate, Dropout, Regime, Trained, train

DIM, CLASSES, UNITS = 5, 3, 50
CPU = torch.device("cpu")


class Clips:
    """A problem with values as scripted, one list of values a look, or else accuracies."""

    def __init__(
        self, script: Sequence[Sequence[float]] = (), dtype: torch.dtype = torch.float32
    ) -> None:
        g = torch.Generator().manual_seed(0)
        self.x = torch.randn(UNITS, DIM, generator=g).to(dtype)
        self.y = torch.randint(0, CLASSES, (UNITS,), generator=g)
        self.script, self.looks = [list(values) for values in script], 0

    def __len__(self) -> int:
        return UNITS

    def read(self, units: Tensor) -> Tensor:
        return self.x[units]

    def losses(self, outputs: Tensor, units: Tensor) -> Tensor:
        return torch.stack([cross_entropy(each, self.y[units]) for each in outputs])

    def values(self, forward: Callable[[Tensor], Tensor]) -> list[float]:
        self.looks += 1
        if self.script:
            return self.script.pop(0)
        return [(each.argmax(1) == self.y).float().mean().item() for each in forward(self.x)]


def mlp(dropout: float = 0.0) -> nn.Module:
    # No bias before batch norm: its gradient is rounding, which Adam scales up to steps.
    return nn.Sequential(
        nn.Linear(DIM, 8, bias=False),
        nn.BatchNorm1d(8),
        Dropout(dropout),
        nn.ReLU(),
        nn.Linear(8, CLASSES),
    )


def candidates(*rates: float, build: Callable[[], nn.Module] = mlp) -> list[Candidate]:
    return [Candidate(setting=f"lr={lr}", shape="", build=build, lr=lr) for lr in rates]


def plain_loop(candidate: Candidate, regime: Regime) -> nn.Module:
    """The same training, one head, written the usual way; ends at the last epoch."""
    torch.manual_seed(regime.seed)
    module = candidate.build()
    problem = Clips(dtype=next(module.parameters()).dtype)
    adam: torch.optim.Optimizer
    if regime.weight_decay:
        adam = torch.optim.AdamW(
            module.parameters(), lr=candidate.lr, weight_decay=regime.weight_decay
        )
    else:
        adam = torch.optim.Adam(module.parameters(), lr=candidate.lr, weight_decay=regime.l2)
    generator = torch.Generator().manual_seed(regime.seed)
    for epoch in range(regime.longest):
        share = regime.last_rate + (1 - regime.last_rate) / 2 * (
            1 + math.cos(math.pi * epoch / regime.longest)
        )
        adam.param_groups[0]["lr"] = candidate.lr * share
        order = torch.randperm(UNITS, generator=generator)
        for units in torch.split(order if regime.shuffled else torch.arange(UNITS), 16):
            adam.zero_grad()
            cross_entropy(module(problem.x[units]), problem.y[units]).backward()
            if regime.clip_norm:
                nn.utils.clip_grad_norm_(module.parameters(), regime.clip_norm)
            adam.step()
    return module.eval()


REGIME = Regime(batch_size=16, counted_in="epochs", longest=6, later_wins=True)


@pytest.mark.parametrize(
    "regime",
    [
        REGIME,
        replace(REGIME, shuffled=False),
        replace(REGIME, last_rate=0.1),
        replace(REGIME, clip_norm=0.05),
        replace(REGIME, l2=0.01),
        replace(REGIME, weight_decay=0.3),
    ],
    ids=["plain", "unshuffled", "cosine", "clipped", "penalised", "decayed"],
)
def test_a_stack_is_the_usual_loop_head_by_head(regime: Regime) -> None:
    # In float64: Adam scales rounding up to steps, and that of float32 differs from CPU to CPU.
    tried = candidates(0.01, 0.1, build=lambda: mlp().double())
    always_later = Clips([[0.0, 0.0]] * regime.longest, torch.float64)
    for found, candidate in zip(train(tried, always_later, regime, CPU), tried, strict=True):
        expected = plain_loop(candidate, regime).state_dict()
        for name, tensor in found.module.state_dict().items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5, msg=name)


class Scaled(nn.Module):
    """A head of two arguments without batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(DIM, CLASSES)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return self.linear(x) * scale.unsqueeze(1)


class ClipsOfTwoTensors(Clips):
    """Clips with a second argument, and how many were read at once."""

    at_once: int = 0

    def read(self, units: Tensor) -> tuple[Tensor, ...]:
        self.at_once = max(self.at_once, len(units))
        return self.x[units], 1 + self.y[units].float()

    def values(self, forward: Callable[[tuple[Tensor, ...]], Tensor]) -> list[float]:
        return [0.0] * len(forward(self.read(torch.arange(1))))


@pytest.mark.parametrize("at_once", [5, 16, 100])
def test_a_batch_in_pieces_is_the_same_batch(at_once: int) -> None:
    tried = candidates(0.01, 0.1, build=Scaled)
    regime = replace(REGIME, clip_norm=0.05)
    whole, pieces = ClipsOfTwoTensors(), ClipsOfTwoTensors()
    expected = train(tried, whole, regime, CPU)
    found = train(tried, pieces, replace(regime, at_once=at_once), CPU)
    assert (whole.at_once, pieces.at_once) == (16, min(16, at_once))
    for one, other in zip(expected, found, strict=True):
        for name, tensor in one.module.state_dict().items():
            torch.testing.assert_close(
                other.module.state_dict()[name], tensor, rtol=1e-4, atol=1e-6
            )


def test_dropout_of_a_head_does_not_depend_on_its_company() -> None:
    build = partial(mlp, 0.5)
    together = train(candidates(0.01, 0.1, build=build), Clips(), REGIME, CPU)
    alone = train(candidates(0.1, build=build), Clips(), REGIME, CPU)
    for name, tensor in alone[0].module.state_dict().items():
        torch.testing.assert_close(tensor, together[1].module.state_dict()[name])
    silent = train(candidates(0.1), Clips(), REGIME, CPU)
    assert not torch.equal(silent[0].module[0].weight, alone[0].module[0].weight)


def test_what_is_kept_is_the_best_look() -> None:
    regime = replace(REGIME, later_wins=False, longest=4)
    script = [[0.1, 0.5], [0.7, 0.5], [0.7, 0.2], [0.3, 0.9]]
    found = train(candidates(0.01, 0.1), Clips(script), regime, CPU)
    assert [(each.value, each.epoch) for each in found] == [(0.7, 2), (0.9, 4)]
    later = train(candidates(0.01, 0.1), Clips(script), replace(regime, later_wins=True), CPU)
    assert [each.epoch for each in later] == [3, 4]
    assert not torch.equal(found[0].module[0].weight, later[0].module[0].weight)


def test_the_kept_weights_are_those_of_that_epoch() -> None:
    regime = replace(REGIME, later_wins=False)
    (found,) = train(candidates(0.05), Clips([[0.1], [0.8], *[[0.2]] * 4]), regime, CPU)
    (early,) = train(candidates(0.05), Clips([[0.1], [0.2]]), replace(REGIME, longest=2), CPU)
    for name, tensor in found.module.state_dict().items():
        torch.testing.assert_close(tensor, early.module.state_dict()[name], msg=name)


def test_a_head_without_progress_leaves_and_the_other_goes_on() -> None:
    regime = replace(REGIME, longest=50, patience=2, later_wins=False)
    # The first head stops at its third look; then the script has one value a look, the second head's.
    problem = Clips([[0.5, 0.1], [0.4, 0.2], [0.4, 0.3], [0.4], [0.2], [0.3]])
    found = train(candidates(0.01, 0.1), problem, regime, CPU)
    assert [(each.value, each.epoch) for each in found] == [(0.5, 1), (0.4, 4)]
    assert problem.looks == 6


def test_looks_are_counted_in_steps_or_epochs() -> None:
    problem = Clips()
    train(candidates(0.01), problem, replace(REGIME, longest=6, check_every=3), CPU)
    assert problem.looks == 2
    problem = Clips()
    steps = replace(REGIME, counted_in="steps", longest=10, check_every=5)
    (found,) = train(candidates(0.01), problem, steps, CPU)
    assert problem.looks == 2
    assert found.epoch in (2, 3)  # steps 5 and 10, at 4 steps an epoch


def test_a_training_too_short_to_look_is_judged_at_its_end() -> None:
    problem = Clips()
    (found,) = train(candidates(0.01), problem, replace(REGIME, longest=2, check_every=3), CPU)
    assert problem.looks == 1
    assert found.epoch == 2


def test_heads_of_unlike_shape_train_in_stacks_of_their_own() -> None:
    wide = Candidate(setting="wide", shape="wide", build=partial(nn.Linear, DIM, CLASSES), lr=0.1)
    tried = [*candidates(0.1), wide]
    found: list[Trained] = train(tried, Clips(), REGIME, CPU)
    assert [each.candidate.setting for each in found] == ["lr=0.1", "wide"]
    (alone,) = train([wide], Clips(), REGIME, CPU)
    torch.testing.assert_close(alone.module.weight, found[1].module.weight)


def test_training_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train(candidates(0.1, build=partial(mlp, 0.5)), Clips(), REGIME, CPU)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("units", "expected"), [(16, 1), (17, 1), (18, 2), (1, 1), (33, 2)])
def test_a_single_unit_at_the_end_may_be_left_out(units: int, expected: int) -> None:
    assert replace(REGIME, skip_single=True).steps_an_epoch(units) == expected


@pytest.mark.parametrize(("epoch", "looks"), [(8.0, 4), (4300.0, 86)])
def test_patience_spans_epochs_of_large_corpora(epoch: float, looks: int) -> None:
    regime = replace(REGIME, counted_in="steps", check_every=250, patience=4, patience_epochs=5)
    assert regime.looks_to_wait(epoch) == looks
    assert replace(regime, patience=None).looks_to_wait(epoch) is None
