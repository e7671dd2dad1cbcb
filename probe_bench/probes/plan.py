"""What the linear probes of a task read: every unit once, with its part in every fold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from probe_bench.corpus import Corpus
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.roles import Roles
from probe_bench.probes.units import Units, task_units, thin
from probe_bench.splits import Fold
from probe_bench.task import Task

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Units of all folds of a task.

    Attributes:
        units: What some fold trains on or chooses by, each once.
        roles: Which of them each fold trains on, and chooses by.
        test: Test units of each fold.
    """

    units: Units
    roles: Roles
    test: tuple[Units, ...]

    def train(self, fold: int) -> Units:
        """Return the units that a fold trains on."""
        return self.units.take(np.flatnonzero(self.roles.train[fold]))

    @property
    def complete(self) -> bool:
        """Whether every part of every fold has units."""
        parts = np.concatenate([self.roles.train, self.roles.valid])
        return bool(parts.any(1).all()) and all(len(units) for units in self.test)


def make_plan(
    task: Task, corpus: Corpus, folds: Sequence[Fold], seed: int, config: ProbeConfig
) -> Plan:
    """List the units of a task, frames thinned to what the configuration allows.

    Frames are thinned once for all folds, so that a frame that two folds could train on is kept by
    both or by neither, and folds share their moments and products.
    """
    every = task_units(task, corpus, _clips(folds))
    if task.unit == "clip":
        kept, valid = every, [task_units(task, corpus, fold.valid) for fold in folds]
    else:
        kept = thin(every, _cap(every, folds, config.max_train_frames), seed)
        valid = [
            thin(task_units(task, corpus, fold.valid), config.max_valid_frames, seed)
            for fold in folds
        ]
    trains = [_among(kept.clip, fold.train) for fold in folds]
    named = [kept.key[np.any(trains, axis=0)], *(units.key for units in valid)]
    pool = task_units(
        task, corpus, sorted({i for fold in folds for i in (*fold.train, *fold.valid)})
    )
    pool = pool.take(np.flatnonzero(np.isin(pool.key, np.concatenate(named))))
    key = pool.key
    return Plan(
        units=pool,
        roles=Roles(
            train=np.stack([np.isin(key, kept.key[train]) for train in trains]),
            valid=np.stack([np.isin(key, units.key) for units in valid]),
        ),
        test=tuple(task_units(task, corpus, fold.test) for fold in folds),
    )


def _clips(folds: Sequence[Fold]) -> list[int]:
    """Clips that some fold trains on, in the order of the first fold that does."""
    return list(dict.fromkeys(clip for fold in folds for clip in fold.train))


def _cap(every: Units, folds: Sequence[Fold], most: int | None) -> int | None:
    """Units to keep of all that folds train on, so that the largest fold keeps about `most`."""
    largest = max(int(_among(every.clip, fold.train).sum()) for fold in folds)
    return None if most is None or largest <= most else most * len(every) // largest


def _among(clip: Int[np.ndarray, " units"], clips: Sequence[int]) -> Bool[np.ndarray, " units"]:
    return np.isin(clip, np.array(clips, dtype=np.int64))
