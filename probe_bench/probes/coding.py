"""How labels become the numbers that one fold's probes are fitted on, and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from probe_bench.corpus import Corpus
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.units import Label, Units, task_units, thin
from probe_bench.splits import Fold
from probe_bench.task import Task

__all__ = ["Classes", "Coding", "as_set", "fold_units", "known_classes", "make_coding", "names_of"]

_UNLEARNT = 30.0  # logit of a tag that every (+) or no (-) training clip carries


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes of a task.

    Attributes:
        classes: All classes, those of train first; targets index them.
        multi_label: Whether labels are sets of tags.
    """

    classes: tuple[str, ...]
    multi_label: bool

    def targets(self, units: Units) -> Shaped[np.ndarray, "units ..."]:
        """Class indices, or membership, in terms of `classes`."""
        if self.multi_label:
            return np.array([[c in tags for c in self.classes] for tags in units.labels], bool)
        place = {name: k for k, name in enumerate(self.classes)}
        return np.array([place[str(label)] for label in units.labels], dtype=np.int64)

    def said_of(self, untaught: set[str], test: Units) -> tuple[str, ...]:
        """Say which test labels are among those that a fold's train could not teach."""
        lost = sorted(untaught & names_of(test))
        if not lost:
            return ()
        effect = "get a constant score" if self.multi_label else "count as errors"
        count = sum(not as_set(label).isdisjoint(lost) for label in test.labels)
        return (
            f"{count} test units of classes that train cannot teach {effect}: {', '.join(lost)}",
        )


@dataclass(frozen=True, kw_only=True)
class Coding(Classes):
    """Classes of a task and those of them that a fold's probes know.

    Attributes:
        columns: Places in `classes` that the fold's probes know.
        constant: Score of tags that the fold's train cannot teach.
    """

    columns: Shaped[np.ndarray, " known"]
    constant: Shaped[np.ndarray, " classes"]

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
        known = {self.classes[k] for k in self.columns.tolist()}
        return self.said_of(set(self.classes) - known, test)

    def full(self, predicted: Shaped[np.ndarray, "units ..."]) -> Shaped[np.ndarray, "units ..."]:
        """Predictions in terms of all classes."""
        if not self.multi_label:
            return np.take(self.columns, predicted).astype(np.int32)
        scores = np.tile(self.constant, (len(predicted), 1))
        scores[:, self.columns] = predicted
        return scores.astype(np.float32)


def make_coding(classes: tuple[str, ...], train: Units) -> Coding:
    """Return the coding of a fold: it knows what its training units can teach."""
    multi_label = isinstance(train.labels[0], tuple)
    if not multi_label:
        known = names_of(train)
        columns = np.array([k for k, name in enumerate(classes) if name in known])
        return Coding(classes=classes, columns=columns, constant=np.empty(0), multi_label=False)
    share = np.array([[name in tags for name in classes] for tags in train.labels]).mean(0)
    return Coding(
        classes=classes,
        columns=np.flatnonzero((share > 0) & (share < 1)),
        constant=np.where(share == 1, _UNLEARNT, -_UNLEARNT),
        multi_label=True,
    )


def known_classes(train: Sequence[Units], every: Sequence[Units]) -> tuple[str, ...]:
    """List the classes of any fold's train in order, then those that occur elsewhere only."""
    known, seen = ({name for units in some for name in names_of(units)} for some in (train, every))
    return (*sorted(known), *sorted(seen - known))


def fold_units(
    task: Task, corpus: Corpus, fold: Fold, seed: int, config: ProbeConfig
) -> tuple[Units, Units, Units]:
    """List a fold's training, validation and test units; frames are thinned to the caps."""
    train, valid, test = (
        task_units(task, corpus, clips) for clips in (fold.train, fold.valid, fold.test)
    )
    if task.unit == "clip":
        return train, valid, test
    return (
        thin(train, config.max_train_frames, seed),
        thin(valid, config.max_valid_frames, seed),
        test,
    )


def as_set(label: Label) -> set[str]:
    """Return the class of a unit, or its tags, as a set."""
    return set(label) if isinstance(label, tuple) else {label}


def names_of(units: Units) -> set[str]:
    """Return the classes or tags that occur."""
    return {name for label in set(units.labels) for name in as_set(label)}
