"""Linear probes on one task: every fold fitted on train, chosen on valid, read on test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Shaped

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.coding import Classes, as_set, known_classes, names_of
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.convex import Fitted, fit_folds, predict
from probe_bench.probes.logistic import UNTAUGHT
from probe_bench.probes.plan import Plan, make_plan
from probe_bench.probes.prepare import layer_bytes
from probe_bench.probes.scratch import Room
from probe_bench.probes.stitching import FoldPredictions, stitch
from probe_bench.probes.units import UnitFeatures, Units
from probe_bench.scoring import Predictions
from probe_bench.splits import Fold
from probe_bench.task import Measure, Task

__all__ = ["classify"]


@dataclass(frozen=True, kw_only=True)
class _Coding(Classes):
    """How labels become the numbers that probes are fitted on, the same for all folds.

    Attributes:
        n_known: How many classes some fold's train shows, the first ones: the columns of every probe.
    """

    n_known: int

    def fitted(self, units: Units) -> Shaped[np.ndarray, "units ..."]:
        """Targets that probes are fitted on and chosen by."""
        targets = self.targets(units)
        return targets[:, : self.n_known] if self.multi_label else targets

    def full(self, predicted: Shaped[np.ndarray, "units ..."]) -> Shaped[np.ndarray, "units ..."]:
        """Predictions in terms of all classes."""
        if not self.multi_label:
            return predicted.astype(np.int32)
        missing = len(self.classes) - self.n_known
        return np.pad(predicted, ((0, 0), (0, missing)), constant_values=-UNTAUGHT).astype(
            np.float32
        )

    def notes(self, train: Units, test: Units) -> tuple[str, ...]:
        """Say which test labels a fold's train could not teach."""
        return self.said_of(self._untaught(train), test)

    def _untaught(self, train: Units) -> set[str]:
        """Classes that none of some units shows, and tags that all of them carry."""
        never = set(self.classes) - names_of(train)
        if not self.multi_label:
            return never
        always = set.intersection(*(as_set(label) for label in train.labels))
        return never | always


def classify(
    measures: Sequence[Measure],
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    *,
    seed: int,
    config: ProbeConfig,
    further: Sequence[Features] = (),
) -> list[Predictions]:
    """Fit, choose and predict for every linear probe of a task.

    The same fitted probes are then read on the test units of each of `further`.

    Returns:
        One set of predictions per measure; none where no training clip has units (a corpus without
        alignment has no frames to classify).
    """
    plan = make_plan(task, corpus, folds, seed, config)
    if not plan.complete:
        return []
    coding = _coding(plan)
    fitted = _fit(measures, plan, coding, features, config)
    names = tuple(layer.name for layer in features.layers)
    return [
        stitch(
            [
                _predictions(fitted[measure.probe][fold], coding, plan, fold, features, further)
                for fold in range(len(folds))
            ],
            probe=measure.probe,
            unit=task.unit,
            metric=measure.metrics[0],
            layers=names,
            classes=coding.classes,
            corpus=corpus,
            task=task,
        )
        for measure in measures
    ]


def _coding(plan: Plan) -> _Coding:
    train = [plan.train(fold) for fold in range(plan.roles.n_folds)]
    return _Coding(
        classes=known_classes(train, [plan.units, *plan.test]),
        n_known=len(set().union(*(names_of(units) for units in train))),
        multi_label=isinstance(plan.units.labels[0], tuple),
    )


def _fit(
    measures: Sequence[Measure],
    plan: Plan,
    coding: _Coding,
    features: Features,
    config: ProbeConfig,
) -> dict[str, list[list[Fitted]]]:
    """Fit and choose every probe of every fold and layer: by probe, fold and layer."""
    logistic_l2 = config.clip_l2 if plan.units.time_s is None else config.frame_l2
    l2 = {"logistic": logistic_l2, "ridge": config.ridge_l2}
    room = Room(budget_bytes=config.memory_bytes, folder=config.scratch)
    layers = [
        UnitFeatures(features=features, layer=layer, units=plan.units)
        for layer in range(len(features.layers))
    ]
    chosen: dict[str, list[dict[int, Fitted]]] = {
        measure.probe: [{} for _ in plan.test] for measure in measures
    }
    for group in _layer_groups(layers, plan.roles.n_folds, room):
        found = fit_folds(
            measures,
            l2,
            layers=[layers[layer] for layer in group],
            roles=plan.roles,
            targets=coding.fitted(plan.units),
            n_classes=coding.n_known,
            room=room,
        )
        for probe, folds in found.items():
            for mine, fitted in zip(chosen[probe], folds, strict=True):
                mine.update(zip(group, fitted, strict=True))
    return {
        probe: [[fold[layer] for layer in sorted(fold)] for fold in folds]
        for probe, folds in chosen.items()
    }


def _layer_groups(layers: Sequence[UnitFeatures], n_folds: int, room: Room) -> Iterator[list[int]]:
    """Layers of equal size that are solved together, within the memory that a solve may take."""
    sizes = [layer.shape for layer in layers]
    for rows, dim in dict.fromkeys(sizes):
        alike = [k for k, other in enumerate(sizes) if other == (rows, dim)]
        budget = room.budget(layers[0].device)
        size = max(1, budget // layer_bytes(rows, dim, n_folds))
        yield from (alike[i : i + size] for i in range(0, len(alike), size))


def _predictions(
    fitted: Sequence[Fitted],
    coding: _Coding,
    plan: Plan,
    fold: int,
    features: Features,
    further: Sequence[Features],
) -> FoldPredictions:
    test = plan.test[fold]
    return FoldPredictions(
        clip=test.clip,
        time_s=test.time_s,
        targets=coding.targets(test),
        predicted=_read(fitted, coding, features, test),
        settings=tuple(f"l2={probe.l2:g}" for probe in fitted),
        valid_values=tuple(probe.valid_value for probe in fitted),
        notes=coding.notes(plan.train(fold), test),
        further=tuple(_read(fitted, coding, source, test) for source in further),
    )


def _read(
    fitted: Sequence[Fitted], coding: _Coding, features: Features, test: Units
) -> Shaped[np.ndarray, "layers units ..."]:
    """Predict all test units layer by layer, streaming their features."""
    layers = []
    for layer, probe in enumerate(fitted):
        blocks = UnitFeatures(features=features, layer=layer, units=test)
        places, predicted = zip(
            *(
                (at, coding.full(predict(probe.scores(x), multi_label=coding.multi_label)))
                for at, x in blocks
            ),
            strict=True,
        )
        layers.append(np.concatenate(predicted)[np.argsort(torch.cat(places).numpy())])
    return np.stack(layers)
