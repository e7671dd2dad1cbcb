"""Speaker verification on one task: pairs of each fold's test clips, by every back-end asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.back_ends import FITS, BackEnd
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.stitching import FoldPredictions, best_index, stitch
from probe_bench.probes.verification import Trials, make_trials
from probe_bench.scoring import Predictions, plain_value
from probe_bench.splits import Fold
from probe_bench.task import Measure, Metric, ProbeName, Task

__all__ = ["TrialPlan", "pair_clips", "plan_trials", "verify"]


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """The trials that a task is scored on.

    Attributes:
        folds: Those of each fold; indices are into its test clips.
        notes: Where they come from, if the corpus has official ones.
    """

    folds: tuple[Trials, ...]
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether there are pairs of one speaker and pairs of two."""
        same = torch.cat([trials.same for trials in self.folds])
        return bool(same.any()) and not bool(same.all())


def verify(
    measures: Sequence[Measure],
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    *,
    seed: int,  # noqa: ARG001  nothing is drawn
    config: ProbeConfig,
    further: Sequence[Features] = (),
) -> list[Predictions]:
    """Score the test trials by each back-end, its settings chosen on pairs of valid clips.

    The same test trials are then scored from each of `further`, both clips of a pair alike.
    Nothing is returned where the test trials lack one kind; a back-end is left out where it cannot be
    fitted (PLDA needs several clips of some training speaker, AS-norm two speakers).
    """
    plan = plan_trials(task, corpus, folds, config)
    if not plan.usable:
        return []
    found = []
    for measure in measures:
        parts = [
            _fold(measure, task, corpus, fold, features, trials, config, further)
            for fold, trials in zip(folds, plan.folds, strict=True)
        ]
        notes = (*plan.notes, *_closed(task, measure.probe))
        made = [replace(part, notes=notes) for part in parts if part is not None]
        if len(made) == len(parts):
            found.append(
                stitch(
                    made,
                    probe=measure.probe,
                    unit="trial",
                    metric=measure.metrics[0],
                    layers=tuple(layer.name for layer in features.layers),
                    classes=(),
                    corpus=corpus,
                    task=task,
                )
            )
    return found


def _closed(task: Task, probe: ProbeName) -> tuple[str, ...]:
    """Say that a back-end was fitted on the speakers that it is tested on."""
    if probe == "cosine" or task.label in task.disjoint:
        return ()
    return (f"{probe} is fitted on the very speakers that are tested, unlike in task verification",)


def plan_trials(
    task: Task, corpus: Corpus, folds: Sequence[Fold], config: ProbeConfig
) -> TrialPlan:
    """Take the official trials if their clips lie in test parts, else pair the test clips.

    Official trials some of whose clips are not in the corpus (any more) are left out and noted; all
    others have to lie in one test part each, or none is used: a part of a protocol is another one.
    """
    official = tuple(_official(corpus, fold.test) for fold in folds)
    ids = {clip.id for clip in corpus}
    n_present = sum(trial.first in ids and trial.second in ids for trial in corpus.trials)
    n_tested, n = sum(len(trials) for trials in official), len(corpus.trials)
    if n_tested and n_tested == n_present:
        left_out = (
            f"{n_tested} of {n} official trials scored, the others name clips that were left out"
        )
        return TrialPlan(folds=official, notes=(left_out,) if n_tested < n else ())
    unused = (
        f"none of the {n} official trials is used, the test parts hold the clips of only {n_tested}: "
        "test clips are paired instead"
    )
    made = tuple(pair_clips(task, corpus, fold.test, config) for fold in folds)
    return TrialPlan(folds=made, notes=(unused,) if n else ())


def pair_clips(task: Task, corpus: Corpus, clips: Sequence[int], config: ProbeConfig) -> Trials:
    """Pair clips of different recordings; a clip without recording label is its own."""
    some = [corpus.clips[i] for i in clips]
    return make_trials(
        [clip.labels[task.label] for clip in some],
        [clip.labels.get("recording", f"clip {clip.id}") for clip in some],
        config.max_trials,
    )


def _official(corpus: Corpus, clips: Sequence[int]) -> Trials:
    """Return the official trials between some clips."""
    place = {corpus.clips[i].id: k for k, i in enumerate(clips)}
    known = [t for t in corpus.trials if t.first in place and t.second in place]
    return Trials(
        first=torch.tensor([place[t.first] for t in known], dtype=torch.long),
        second=torch.tensor([place[t.second] for t in known], dtype=torch.long),
        same=torch.tensor([t.same for t in known], dtype=torch.bool),
    )


def _fold(
    measure: Measure,
    task: Task,
    corpus: Corpus,
    fold: Fold,
    features: Features,
    test: Trials,
    config: ProbeConfig,
    further: Sequence[Features],
) -> FoldPredictions | None:
    """Fit all layers, choose their settings on valid, and score the test trials by what was chosen."""
    labels = [corpus.clips[i].labels[task.label] for i in fold.train]
    speaker = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    layers = range(len(features.layers))
    fitted = FITS[measure.probe](
        (_pooled(features, layer, fold.train) for layer in layers), speaker, config
    )
    if not fitted:
        return None
    valid = pair_clips(task, corpus, fold.valid, config)
    chosen = [
        _choose(fitted[layer], measure.metrics[0], _pooled(features, layer, fold.valid), valid)
        for layer in layers
    ]
    clips = np.array(fold.test)
    return FoldPredictions(
        clip=clips[test.first.numpy()],
        other=clips[test.second.numpy()],
        targets=test.same.numpy(),
        predicted=_read([back_end for back_end, _ in chosen], features, fold.test, test),
        settings=tuple(back_end.settings[0] for back_end, _ in chosen),
        valid_values=tuple(value for _, value in chosen),
        further=tuple(
            _read([back_end for back_end, _ in chosen], source, fold.test, test)
            for source in further
        ),
    )


def _choose(
    back_end: BackEnd, metric: Metric, valid: Float[Tensor, "clips stats"], trials: Trials
) -> tuple[BackEnd, float]:
    """Return the back-end at the setting that validates best, the first of equal ones."""
    if not len(trials):
        return back_end.at(0), np.nan
    scores = back_end.scores(valid, trials).cpu().numpy()
    values = [plain_value(metric, trials.same.numpy(), each) for each in scores]
    best = best_index(metric, values)
    return back_end.at(best), values[best]


def _read(
    chosen: Sequence[BackEnd], features: Features, clips: Sequence[int], trials: Trials
) -> Float[np.ndarray, "layers trials"]:
    """Score trials between some clips by every layer."""
    scores = [
        back_end.scores(_pooled(features, layer, clips), trials)[0].cpu().numpy()
        for layer, back_end in enumerate(chosen)
    ]
    return np.stack(scores)


def _pooled(features: Features, layer: int, clips: Sequence[int]) -> Float[Tensor, "clips stats"]:
    pooled = features.pooled(layer)
    return pooled[torch.tensor(clips, device=pooled.device)]
