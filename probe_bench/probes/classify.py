"""Linear probes on one task: every fold fitted on train, chosen on valid, read on test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Shaped

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.convex import Fitted, fit_layers, predict
from probe_bench.probes.stitching import FoldPredictions, stitch
from probe_bench.probes.units import Label, Units, gather, stream, task_units, thin
from probe_bench.scoring import Predictions
from probe_bench.splits import Fold
from probe_bench.task import Measure, Task

__all__ = ["classify", "known_classes"]

_GROUP_BYTES = 1 << 30  # training features of the layers that are solved together
_UNLEARNT = 30.0  # logit of a tag that every (+) or no (-) training clip carries


@dataclass(frozen=True, kw_only=True)
class _Coding:
    """How labels become the numbers that one fold's probes are fitted on.

    Attributes:
        classes: All classes of the task, those of train first; targets index it.
        columns: Places in `classes` that the fold's probes know.
        constant: Score of tags that the fold's train cannot teach.
        multi_label: Whether labels are sets of tags.
    """

    classes: tuple[str, ...]
    columns: Shaped[np.ndarray, " known"]
    constant: Shaped[np.ndarray, " classes"]
    multi_label: bool

    def targets(self, units: Units) -> Shaped[np.ndarray, "units ..."]:
        """Class indices, or membership, in terms of `classes`."""
        if self.multi_label:
            return np.array([[c in tags for c in self.classes] for tags in units.labels], bool)
        place = {name: k for k, name in enumerate(self.classes)}
        return np.array([place[str(label)] for label in units.labels], dtype=np.int64)

    def local(self, units: Units) -> Shaped[np.ndarray, "units ..."]:
        """Targets in terms of the fold's own columns; classes it does not know are one beyond."""
        targets = self.targets(units)
        if self.multi_label:
            return np.take(targets, self.columns, axis=1)
        place = np.full(len(self.classes), len(self.columns))
        place[self.columns] = np.arange(len(self.columns))
        return np.take(place, targets)

    def notes(self, test: Units) -> tuple[str, ...]:
        """Say which test labels the fold's train could not teach."""
        names = set(self.classes) - {self.classes[k] for k in self.columns.tolist()}
        lost = sorted(names & _names(test))
        if not lost:
            return ()
        effect = "get a constant score" if self.multi_label else "count as errors"
        count = sum(bool(_as_set(label) & names) for label in test.labels)
        return (
            f"{count} test units of classes that train cannot teach {effect}: {', '.join(lost)}",
        )

    def full(self, predicted: Shaped[np.ndarray, "units ..."]) -> Shaped[np.ndarray, "units ..."]:
        """Predictions in terms of all classes."""
        if not self.multi_label:
            return np.take(self.columns, predicted).astype(np.int32)
        scores = np.tile(self.constant, (len(predicted), 1))
        scores[:, self.columns] = predicted
        return scores.astype(np.float32)


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
    plans = [_units(task, corpus, fold, seed, config) for fold in folds]
    if not all(len(units) for plan in plans for units in plan):
        return []
    classes = known_classes(
        [plan[0] for plan in plans], [units for plan in plans for units in plan]
    )
    parts = [_fold(measures, classes, plan, features, config, further) for plan in plans]
    names = tuple(layer.name for layer in features.layers)
    return [
        stitch(
            [part[measure.probe] for part in parts],
            probe=measure.probe,
            unit=task.unit,
            metric=measure.metrics[0],
            layers=names,
            classes=classes,
            corpus=corpus,
            task=task,
        )
        for measure in measures
    ]


def known_classes(train: Sequence[Units], every: Sequence[Units]) -> tuple[str, ...]:
    """List the classes of any fold's train in order, then those that occur elsewhere only."""
    known, seen = ({name for units in some for name in _names(units)} for some in (train, every))
    return (*sorted(known), *sorted(seen - known))


def _as_set(label: Label) -> set[str]:
    return set(label) if isinstance(label, tuple) else {label}


def _names(units: Units) -> set[str]:
    return {name for label in set(units.labels) for name in _as_set(label)}


def _units(
    task: Task, corpus: Corpus, fold: Fold, seed: int, config: ProbeConfig
) -> tuple[Units, Units, Units]:
    train, valid, test = (
        task_units(task, corpus, clips) for clips in (fold.train, fold.valid, fold.test)
    )
    if task.unit == "clip":
        return train, valid, test
    train = thin(train, config.max_train_frames, seed)
    return train, thin(valid, config.max_valid_frames, seed), test


def _coding(classes: tuple[str, ...], train: Units) -> _Coding:
    multi_label = isinstance(train.labels[0], tuple)
    if not multi_label:
        known = _names(train)
        columns = np.array([k for k, name in enumerate(classes) if name in known])
        return _Coding(classes=classes, columns=columns, constant=np.empty(0), multi_label=False)
    share = np.array([[name in tags for name in classes] for tags in train.labels]).mean(0)
    return _Coding(
        classes=classes,
        columns=np.flatnonzero((share > 0) & (share < 1)),
        constant=np.where(share == 1, _UNLEARNT, -_UNLEARNT),
        multi_label=True,
    )


def _fold(
    measures: Sequence[Measure],
    classes: tuple[str, ...],
    plan: tuple[Units, Units, Units],
    features: Features,
    config: ProbeConfig,
    further: Sequence[Features],
) -> dict[str, FoldPredictions]:
    train, valid, test = plan
    coding = _coding(classes, train)
    fitted: dict[str, dict[int, Fitted]] = {measure.probe: {} for measure in measures}
    logistic_l2 = config.clip_l2 if train.time_s is None else config.frame_l2
    l2 = {"logistic": logistic_l2, "ridge": config.ridge_l2}
    for group in _layer_groups(features, len(train)):
        found = fit_layers(
            measures,
            l2,
            train=[gather(features, layer, train) for layer in group],
            train_targets=torch.from_numpy(coding.local(train)),
            valid=[gather(features, layer, valid) for layer in group],
            valid_targets=coding.local(valid),
        )
        for probe, probes in found.items():
            fitted[probe].update(zip(group, probes, strict=True))
    read = {probe: _read(probes, coding, features, test) for probe, probes in fitted.items()}
    return {
        probe: FoldPredictions(
            clip=test.clip,
            time_s=test.time_s,
            targets=coding.targets(test),
            predicted=predicted,
            settings=tuple(f"l2={fitted[probe][k].l2:g}" for k in range(len(predicted))),
            valid_values=tuple(fitted[probe][k].valid_value for k in range(len(predicted))),
            notes=coding.notes(test),
            further=tuple(_read(fitted[probe], coding, source, test) for source in further),
        )
        for probe, predicted in read.items()
    }


def _layer_groups(features: Features, n_units: int) -> Iterator[list[int]]:
    """Layers of equal size that are solved together, within the memory that a solve may take."""
    dims = [layer.dim for layer in features.layers]
    for dim in dict.fromkeys(dims):
        alike = [k for k, other in enumerate(dims) if other == dim]
        size = max(1, _GROUP_BYTES // max(1, 4 * n_units * 2 * dim))
        yield from (alike[i : i + size] for i in range(0, len(alike), size))


def _read(
    fitted: dict[int, Fitted], coding: _Coding, features: Features, test: Units
) -> Shaped[np.ndarray, "layers units ..."]:
    """Predict all test units layer by layer, streaming frames in blocks of clips."""
    layers = []
    for layer in range(len(features.layers)):
        blocks = [
            coding.full(predict(fitted[layer].scores(x), multi_label=coding.multi_label))
            for _, x in stream(features, layer, test)
        ]
        layers.append(np.concatenate(blocks))
    return np.stack(layers)
