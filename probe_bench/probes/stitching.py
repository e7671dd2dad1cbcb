"""Put the test predictions of all folds together, with the layer that each fold chose as `best`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Shaped

from probe_bench.corpus import Corpus
from probe_bench.metrics import LOWER_IS_BETTER
from probe_bench.scoring import Predictions
from probe_bench.task import Metric, Task

__all__ = ["BEST", "FoldPredictions", "best_index", "largest_index", "only_best", "stitch"]

BEST = "best"


@dataclass(frozen=True, kw_only=True)
class FoldPredictions:
    """One probe's predictions of one fold's test units.

    Attributes:
        clip: Clip index of each unit.
        other: Second clip of each trial.
        time_s: Time of each frame.
        targets: As in `Predictions`.
        predicted: As in `Predictions`, without `best`.
        settings: Setting of each layer.
        valid_values: Metric of each layer on the fold's validation units.
        notes: What the reader of the scores should know.
        further: `predicted` by the same probes from further features of the same units.
    """

    clip: Shaped[np.ndarray, " units"]
    other: Shaped[np.ndarray, " units"] | None = None
    time_s: Float[np.ndarray, " units"] | None = None
    targets: Shaped[np.ndarray, "units ..."]
    predicted: Shaped[np.ndarray, "layers units ..."]
    settings: tuple[str, ...]
    valid_values: tuple[float, ...]
    notes: tuple[str, ...] = ()
    further: tuple[Shaped[np.ndarray, "layers units ..."], ...] = ()


def best_index(metric: Metric, values: Sequence[float]) -> int:
    """Index of the best value, the first of equal ones; undefined values never win."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    return largest_index(sign * np.array(values))


def largest_index(values: Sequence[float] | Float[np.ndarray, " n"]) -> int:
    """Index of the largest value, the first of equal ones; undefined values never win."""
    return int(np.argmax(np.nan_to_num(values, nan=-np.inf)))


def stitch(
    folds: Sequence[FoldPredictions],
    *,
    probe: str,
    unit: str,
    metric: Metric,
    layers: tuple[str, ...],
    classes: tuple[str, ...],
    corpus: Corpus,
    task: Task,
) -> Predictions:
    """Pool folds; each fold's best layer on validation gives its part of `best`.

    A layer counts as chosen if most folds picked it (the earliest layer of equals).
    """
    picks = [best_index(metric, fold.valid_values) for fold in folds]
    winner = min(Counter(picks).items(), key=lambda item: (-item[1], item[0]))[0]
    best_settings = [
        ";".join(filter(None, (f"layer={layers[pick]}", fold.settings[pick])))
        for fold, pick in zip(folds, picks, strict=True)
    ]
    per_layer = [_joined([fold.settings[k] for fold in folds]) for k in range(len(layers))]
    clip = np.concatenate([fold.clip for fold in folds])
    other = _concatenated([fold.other for fold in folds])
    return Predictions(
        probe=probe,
        unit=unit,
        layers=(*layers, BEST),
        settings=(*per_layer, _joined(best_settings)),
        chosen=(*(k == winner for k in range(len(layers))), True),
        classes=classes,
        clip_ids=_clip_ids(corpus, clip),
        other_ids=None if other is None else _clip_ids(corpus, other),
        time_s=_concatenated([fold.time_s for fold in folds]),
        clusters=_clusters(corpus, task, clip),
        other_clusters=None if other is None else _clusters(corpus, task, other),
        targets=np.concatenate([fold.targets for fold in folds]),
        predicted=_pooled([fold.predicted for fold in folds], picks),
        notes=tuple(dict.fromkeys(note for fold in folds for note in fold.notes)),
        further=tuple(
            _pooled(parts, picks) for parts in zip(*(fold.further for fold in folds), strict=True)
        ),
    )


def only_best(predictions: Predictions) -> Predictions:
    """Return predictions of one probe of the whole encoder: `best` without rows of layers."""
    return replace(
        predictions,
        layers=predictions.layers[-1:],
        settings=predictions.settings[-1:],
        chosen=predictions.chosen[-1:],
        predicted=predictions.predicted[-1:],
        further=tuple(each[-1:] for each in predictions.further),
    )


def _pooled(
    parts: Sequence[Shaped[np.ndarray, "layers _ ..."]], picks: Sequence[int]
) -> Shaped[np.ndarray, "rows units ..."]:
    """Join the folds of every layer, and of the layers picked as one more."""
    best = np.concatenate([part[pick] for part, pick in zip(parts, picks, strict=True)])
    return np.concatenate([np.concatenate(parts, axis=1), best[None]])


def _joined(settings: list[str]) -> str:
    """Distinct settings of the folds in order, `|` between them."""
    return "|".join(dict.fromkeys(settings))


def _concatenated(
    parts: Sequence[Shaped[np.ndarray, " _"] | None],
) -> Shaped[np.ndarray, " units"] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _clip_ids(corpus: Corpus, clip: Shaped[np.ndarray, " units"]) -> Shaped[np.ndarray, " units"]:
    ids: Shaped[np.ndarray, " units"] = np.array([c.id for c in corpus.clips])[clip]
    return ids


def _clusters(
    corpus: Corpus, task: Task, clip: Shaped[np.ndarray, " units"]
) -> Shaped[np.ndarray, " units"]:
    """Independent unit of each clip; a clip without that label is a unit of its own."""
    names = [c.labels.get(task.cluster, f"clip {c.id}") for c in corpus.clips]
    clusters: Shaped[np.ndarray, " units"] = np.array(names)[clip]
    return clusters
