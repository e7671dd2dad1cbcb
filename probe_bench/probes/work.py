"""What a trained classifier gets of one fold: units, numbers for their labels, and the judge."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.coding import Coding, fold_units, known_classes, make_coding
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.judging import Judge
from probe_bench.probes.stitching import FoldPredictions
from probe_bench.probes.units import Units
from probe_bench.splits import Fold
from probe_bench.task import Metric, Task

__all__ = ["Readings", "Work", "plan_work"]

Readings = tuple[Shaped[np.ndarray, "units ..."], ...]
"""Predictions of the test units by one head, from one source of features after another."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One fold of a task.

    Attributes:
        features: Cached features.
        coding: Numbers of the labels.
        train: Training units.
        valid: Validation units.
        test: Test units; never seen in training.
        metric: What settings and epochs are chosen by.
        seed: Seed of the run.
        config: Settings and sizes.
        further: Other features of the test units, to be read by the same heads.
    """

    features: Features
    coding: Coding
    train: Units
    valid: Units
    test: Units
    metric: Metric
    seed: int
    config: ProbeConfig
    further: Sequence[Features] = ()

    @property
    def of_clips(self) -> bool:
        """Say whether the units are whole clips."""
        return self.train.time_s is None

    def judge(self) -> Judge:
        """Return the judge of scores of the validation units."""
        targets = self.coding.local(self.valid)
        return Judge(metric=self.metric, targets=targets, n_classes=len(self.coding.columns))

    def targets(self, device: torch.device) -> Shaped[Tensor, "units ..."]:
        """Return the training targets, in the fold's own classes."""
        return torch.from_numpy(self.coding.local(self.train)).to(device)

    def predict(
        self,
        judge: Judge,
        score: Callable[[Features], Iterable[Float[Tensor, "1 _ classes"]]],
    ) -> Readings:
        """Turn one head's scores of the test units, block by block, into predictions.

        Returns:
            Predictions from the features, then from each of `further`.
        """
        return tuple(
            np.concatenate([self.coding.full(judge.predict(block)[0]) for block in score(source)])
            for source in (self.features, *self.further)
        )

    def record(
        self,
        predicted: Sequence[Readings],
        settings: Sequence[str],
        values: Sequence[float],
    ) -> FoldPredictions:
        """Put what was predicted by each layer on record, with its setting and validation value."""
        own, *others = (np.stack(layers) for layers in zip(*predicted, strict=True))
        return FoldPredictions(
            clip=self.test.clip,
            time_s=self.test.time_s,
            targets=self.coding.targets(self.test),
            predicted=own,
            settings=tuple(settings),
            valid_values=tuple(values),
            notes=self.coding.notes(self.test),
            further=tuple(others),
        )


def plan_work(
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    metric: Metric,
    *,
    seed: int,
    config: ProbeConfig,
    further: Sequence[Features] = (),
) -> list[Work]:
    """Plan every fold of a task; empty where a part of a fold has no units."""
    plans = [fold_units(task, corpus, fold, seed, config) for fold in folds]
    if not all(len(units) for plan in plans for units in plan):
        return []
    trains = [train for train, _, _ in plans]
    classes = known_classes(trains, [units for plan in plans for units in plan])
    return [
        Work(
            features=features,
            coding=make_coding(classes, train),
            train=train,
            valid=valid,
            test=test,
            metric=metric,
            seed=seed,
            config=config,
            further=further,
        )
        for train, valid, test in plans
    ]
