"""What one of two processes does for `test_distributed`; started with torchrun's variables."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributed as dist

from probe_bench.encoders.pretraining.blocks.projector import GatheredBatchNorm
from probe_bench.encoders.pretraining.distributed import process_group
from probe_bench.encoders.pretraining.gather import all_rows, n_rows, rank, shared_generator
from probe_bench.encoders.pretraining.losses.rdmreg import RdmReg, sliced_wasserstein
from probe_bench.encoders.pretraining.losses.sigreg import SigReg, sigreg, unit_directions
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.trainer import Trainer
from probe_bench.errors import UserError

from .micro import SYSTEMS, collapsing, micro, wandering_tones

ROWS, DIM = 14, 6
SHARES = {"equal": (7, 7), "unequal": (5, 9)}


def fixed(*shape: int, seed: int = 0) -> Tensor:
    """Numbers that all processes agree on."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _directions() -> Tensor:
    return unit_directions(DIM, 8, torch.Generator().manual_seed(1))


def _normed(rows: Tensor) -> Tensor:
    """Mean over all rows of something that batch norm changes; DDP's average wants the factor."""
    norm = GatheredBatchNorm(DIM)
    with torch.no_grad():
        norm.weight.copy_(1 + fixed(DIM, seed=8).abs())
        norm.bias.copy_(fixed(DIM, seed=9))
    world = dist.get_world_size() if dist.is_initialized() else 1
    return norm(rows).pow(3).sum() * world / n_rows(rows)


LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigreg": lambda rows: sigreg(rows, _directions()),
    "rdmreg": lambda rows: sliced_wasserstein(
        rows.relu(), fixed(ROWS, DIM, seed=2).relu(), _directions()
    ),
    "batch norm": _normed,
}


def value_and_gradient(name: str, share: slice) -> tuple[Tensor, Tensor]:
    """A loss of some rows and its gradient on the linear map that the rows come from."""
    weights = fixed(4, DIM, seed=3).requires_grad_()
    value = LOSSES[name](fixed(ROWS, 4, seed=4)[share] @ weights)
    (gradient,) = torch.autograd.grad(value, weights)
    return value.detach(), gradient


def recipes() -> dict[str, Recipe]:
    """Every system; A-JEPA without the dropped keys, which processes draw for themselves."""
    found = {system: micro(system, steps=3) for system in SYSTEMS}
    encoder = replace(found["a-jepa"].encoder, key_drop=0.0)  # type: ignore[type-var]
    return found | {"a-jepa": replace(found["a-jepa"], encoder=encoder)}


def _statistics() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, counts in SHARES.items():
        mine = slice(0, counts[0]) if rank() == 0 else slice(counts[0], None)
        for name in LOSSES:
            both = torch.cat([x.flatten() for x in value_and_gradient(name, mine)])
            dist.all_reduce(both)
            found[f"{name}, {kind}"] = both / 2
        found[f"rows, {kind}"] = all_rows(fixed(ROWS, DIM)[mine])
    torch.manual_seed(rank())  # as if something else had been drawn before
    found["drawn"] = torch.rand(3, generator=shared_generator(torch.device("cpu")))
    for rule in (SigReg(weight=1.0, directions=8), RdmReg(weight=1.0, projections=8)):
        found[type(rule).__name__] = rule.penalty(fixed(ROWS, DIM)[mine])
    return found


def _refusal(run: Callable[[], object]) -> str:
    with pytest.raises(UserError) as refused:
        run()
    return str(refused.value)


def _killed(step: int, run: Callable[[], object]) -> None:
    """Run a training that is killed on all processes before a step."""
    real = Trainer.step

    def dying(self: Trainer, number: int, *rest: Any, **named: Any) -> Any:
        if number == step:
            raise KeyboardInterrupt
        return real(self, number, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            run()


def main(out: Path) -> None:
    """Do everything and leave what came out in `out`."""
    torch.set_num_threads(1)
    tape = wandering_tones()
    with process_group("cpu"):
        found = _statistics()
        for system, recipe in recipes().items():
            train(recipe, tape, TrainOptions(out=out / system, monitor_every=2))
        alone = TrainOptions(out=out / f"of-{rank()}", monitor_every=1)
        odd = micro("wavjepa", batch_size=3)
        found["odd"] = _refusal(lambda: train(odd, tape, alone))
        train(micro("a-jepa", steps=2), tape, alone)
        found["files"] = sorted(path.name for path in alone.out.iterdir())
        options = TrainOptions(out=out / "resumed", checkpoint_every=2)
        _killed(2, lambda: train(recipes()["lejepa"], tape, options))
        train(recipes()["lejepa"], tape, options)
        apart = TrainOptions(out=out / f"apart-{rank()}")
        train(micro("a-jepa", steps=2), tape, apart)  # leaves a file with the first process alone
        found["apart"] = _refusal(lambda: train(micro("a-jepa", steps=2), tape, apart))
        options = TrainOptions(out=out / "collapsed", monitor_every=5, stop_on_collapse=True)
        found["collapsed"] = _refusal(lambda: train(collapsing(steps=100), tape, options))
        torch.save(found, out / f"found-{rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
