"""Train a micro recipe plainly and compiled, in a process whose functions are not type-checked.

The checks that pytest hooks into every function cannot be traced by the compiler.
"""

import json
import sys

import torch

from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.trainer import Trainer

from .micro import micro, wandering_tones


def losses(system: str, *, compiled: bool) -> list[float]:
    """Losses of four steps."""
    recipe = micro(system)
    trainer = Trainer.start(recipe, seed=0, device="cpu", compiled=compiled)
    make = BatchMaker(recipe=recipe, source=wandering_tones(10), seed=0)
    rows = [trainer.step(step, make(step)) for step in range(4)]
    plain = Trainer.start(recipe, seed=0, device="cpu").model.state_dict()
    assert set(trainer.model.state_dict()) == set(plain)
    return [float(row["loss"]) for row in rows]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps([losses(sys.argv[1], compiled=compiled) for compiled in (False, True)]))
