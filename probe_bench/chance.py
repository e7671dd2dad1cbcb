"""Chance: the best prediction without features, through the same metrics and the same bootstrap."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Shaped

from probe_bench.corpus import Corpus
from probe_bench.probes.coding import known_classes
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.kinds import kind_of
from probe_bench.probes.recognise import phone_sequence
from probe_bench.probes.stitching import FoldPredictions, stitch
from probe_bench.probes.units import Units, task_units
from probe_bench.probes.verification import Trials
from probe_bench.probes.verify import plan_trials
from probe_bench.scoring import Predictions, Score, score
from probe_bench.splits import Fold
from probe_bench.task import Measure, Task

__all__ = ["chance_scores"]


def chance_scores(
    task: Task, corpus: Corpus, folds: Sequence[Fold], seed: int, config: ProbeConfig | None = None
) -> list[Score]:
    """Score what needs no features: the majority class, the prevalence of tags, equal trial scores.

    The phone recogniser's chance is the empty transcript, an error rate of 1.
    """
    config = config or ProbeConfig()
    scores: dict[str, Score] = {}
    for measure in task.measures:
        predictions = _predictions(measure, task, corpus, folds, config)
        if predictions is None:
            continue
        alone = replace(
            predictions,
            layers=("",),
            settings=("",),
            chosen=(True,),
            predicted=predictions.predicted[:1],
        )
        found = score(alone, measure.metrics, corpus=corpus.name, task=task.name, seed=seed)
        scores.update({each.metric: each for each in found if each.metric not in scores})
    return list(scores.values())


def _predictions(
    measure: Measure,
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    config: ProbeConfig,
) -> Predictions | None:
    classes: tuple[str, ...] = ()
    match kind_of(measure.probe).family:
        case "pairs":
            unit = "trial"
            plan = plan_trials(task, corpus, folds, config)
            if not plan.usable:
                return None
            pairs = zip(folds, plan.folds, strict=True)
            parts = [_equal_trials(fold, trials) for fold, trials in pairs if len(trials)]
        case "transcripts":
            unit = "clip"
            parts = [_silence(corpus, fold) for fold in folds]
        case _:
            unit = task.unit
            parts, classes = _majority(task, corpus, folds)
    if not parts or not all(len(part.clip) for part in parts):
        return None
    return stitch(
        parts,
        probe="majority",
        unit=unit,
        metric=measure.metrics[0],
        layers=("",),
        classes=classes,
        corpus=corpus,
        task=task,
    )


def _part(
    clip: Shaped[np.ndarray, " units"],
    targets: Shaped[np.ndarray, "units ..."],
    predicted: Shaped[np.ndarray, "units ..."],
    other: Shaped[np.ndarray, " units"] | None = None,
) -> FoldPredictions:
    return FoldPredictions(
        clip=clip,
        other=other,
        targets=targets,
        predicted=predicted[None],
        settings=("",),
        valid_values=(0.0,),
    )


def _majority(
    task: Task, corpus: Corpus, folds: Sequence[Fold]
) -> tuple[list[FoldPredictions], tuple[str, ...]]:
    trains = [task_units(task, corpus, fold.train) for fold in folds]
    tests = [task_units(task, corpus, fold.test) for fold in folds]
    if not all(len(units) for units in (*trains, *tests)):
        return [], ()
    classes = known_classes(trains, [*trains, *tests])
    guess = _prevalence if isinstance(trains[0].labels[0], tuple) else _most_frequent
    parts = [guess(classes, train, test) for train, test in zip(trains, tests, strict=True)]
    return parts, classes


def _most_frequent(classes: tuple[str, ...], train: Units, test: Units) -> FoldPredictions:
    place = {name: k for k, name in enumerate(classes)}
    targets = np.array([place[str(label)] for label in test.labels])
    majority = min(Counter(train.labels).items(), key=lambda item: (-item[1], str(item[0])))[0]
    return _part(test.clip, targets, np.full_like(targets, place[str(majority)]))


def _prevalence(classes: tuple[str, ...], train: Units, test: Units) -> FoldPredictions:
    known, targets = (
        np.array([[name in tags for name in classes] for tags in units.labels])
        for units in (train, test)
    )
    return _part(test.clip, targets, np.tile(known.mean(0), (len(targets), 1)))


def _equal_trials(fold: Fold, trials: Trials) -> FoldPredictions:
    clips, same = np.array(fold.test), trials.same.numpy()
    first, second = clips[trials.first.numpy()], clips[trials.second.numpy()]
    return _part(first, same, np.zeros(len(same)), second)


def _silence(corpus: Corpus, fold: Fold) -> FoldPredictions:
    sequences = {i: " ".join(phone_sequence(corpus.clips[i])) for i in fold.test}
    clips = [i for i in fold.test if sequences[i]]
    targets = np.array([sequences[i] for i in clips], dtype=object)
    return _part(np.array(clips), targets, np.full_like(targets, ""))
