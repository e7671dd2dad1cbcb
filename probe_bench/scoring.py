"""From predictions to scores: metric, clustered interval, and the record to score again from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from probe_bench.bootstrap import cluster_weights, intervals
from probe_bench.metrics import BIASED, SCALES
from probe_bench.replicates import Resamples, replicates
from probe_bench.task import Metric

__all__ = ["Predictions", "Score", "cautions", "plain_value", "score"]

FEWEST_GROUPS, FEWEST_MEMBERS = 8, 50  # below, coverage is unknown; that of `map` too low


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number with its interval, ready to become a result row.

    Attributes:
        layer: Canonical layer name, `best` for the layer picked on validation data, empty for
            chance.
        probe: Name of the probe, or `majority`.
        setting: `key=value` pairs joined by `;`.
        unit: `clip`, `frame` or `trial`.
        metric: Name of the metric, or of an area under it (`robustness`).
        value: The number, None where it could not be measured.
        ci_low: Lower end of the 95 % interval.
        ci_high: Upper end.
        n: Units scored.
        n_groups: Clusters of the bootstrap.
        chosen: Picked on validation data.
        replicates: The number itself and its value in every resample, which all scores of the task
            share.
        censored: Beyond what could be measured: `value` is the limit.
    """

    layer: str
    probe: str
    setting: str
    unit: str
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_groups: int
    chosen: bool
    replicates: Float[Tensor, " rows"] = field(repr=False, compare=False)
    censored: bool = False


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What one probe said of every test unit, for all layers.

    Attributes:
        probe: Name of the probe.
        unit: `clip`, `frame` or `trial`.
        layers: Layer names; `best` is last.
        settings: Setting of each layer.
        chosen: Whether each layer was picked on validation data.
        classes: Class names that integer targets and predictions index; for tags the columns.
        clip_ids: Clip of each unit.
        other_ids: Second clip of each trial.
        time_s: Time of each frame.
        clusters: Independent unit that each unit belongs to.
        other_clusters: That of the second clip of each trial.
        targets: `units` class indices, `units classes` membership, `units` same-speaker flags, or
            `units` phone strings.
        predicted: The same with a leading layer axis, scores in place of membership and flags.
        layer_weights: Names and weights of the layers in a weighted sum.
        notes: What the reader of the scores should know.
        further: `predicted` by the same probes from further features of the same units.
    """

    probe: str
    unit: str
    layers: tuple[str, ...]
    settings: tuple[str, ...]
    chosen: tuple[bool, ...]
    classes: tuple[str, ...]
    clip_ids: Shaped[np.ndarray, " units"]
    other_ids: Shaped[np.ndarray, " units"] | None = None
    time_s: Float[np.ndarray, " units"] | None = None
    clusters: Shaped[np.ndarray, " units"]
    other_clusters: Shaped[np.ndarray, " units"] | None = None
    targets: Shaped[np.ndarray, "units ..."]
    predicted: Shaped[np.ndarray, "layers units ..."]
    layer_weights: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    further: tuple[Shaped[np.ndarray, "layers units ..."], ...] = ()


def score(
    predictions: Predictions,
    names: tuple[Metric, ...],
    *,
    corpus: str,
    task: str,
    seed: int,
) -> list[Score]:
    """Score every layer by the named metrics, with intervals on shared resamples."""
    clusters, cluster, other = _clusters(predictions)
    weights = cluster_weights(seed, corpus, task, clusters)
    resamples = Resamples.of(weights, cluster, other)
    found = replicates(names, predictions.targets, predictions.predicted, resamples)
    scores = []
    for metric in names:
        bounds = intervals(
            found[metric],
            len(clusters),
            SCALES[metric],
            biased=metric in BIASED,
        )
        scores += [
            Score(
                layer=layer,
                probe=predictions.probe,
                setting=predictions.settings[row],
                unit=predictions.unit,
                metric=metric,
                value=own.value,
                ci_low=own.low,
                ci_high=own.high,
                n=len(predictions.clip_ids),
                n_groups=len(clusters),
                chosen=predictions.chosen[row],
                replicates=found[metric][row],
            )
            for row, (layer, own) in enumerate(zip(predictions.layers, bounds, strict=True))
        ]
    return scores


def cautions(scores: Sequence[Score], predictions: Sequence[Predictions]) -> list[str]:
    """Say where the intervals are less sure than they look (coverage: `benchmarks/coverage.py`)."""
    notes = []
    groups = min((score.n_groups for score in scores), default=FEWEST_GROUPS)
    if groups == 1:
        notes.append("no intervals: all units belong to one group")
    elif groups < FEWEST_GROUPS:
        notes.append(
            f"intervals rest on {groups} groups; their coverage is known from {FEWEST_GROUPS}"
        )
    ends_at_1 = {metric for metric, scale in SCALES.items() if scale == "logit"}
    at_edge = {
        s.metric
        for s in scores
        if s.ci_low != s.ci_high and (s.value == 0 or (s.value == 1 and s.metric in ends_at_1))
    }
    notes += [
        f"{metric} of 0 or 1: all groups are alike, so its interval is a bound by their number "
        "and its differences look surer than they are"
        for metric in sorted(at_edge)
    ]
    return [*notes, *dict.fromkeys(note for made in predictions for note in _uneven(made))]


def _uneven(made: Predictions) -> list[str]:
    """Say what the labels alone do to intervals: few members of a class, trials of few groups."""
    if made.targets.ndim == 2:
        members = int(np.median(made.targets.sum(0)))
        few = members < FEWEST_MEMBERS
        said = f"{members} members a class: intervals of map hold the truth some 92 % of the time"
        return [said] if few else []
    if made.other_clusters is None:
        return []
    counts = np.unique(made.clusters[made.targets], return_counts=True)[1].astype(float)
    even = counts.sum() ** 2 / (counts**2).sum()  # as many equal groups would weigh (Kish)
    if even >= len(counts) / 2:
        return []
    said = (
        f"{made.probe}: a few of {len(counts)} groups hold most of the target trials (as if "
        f"{even:.0f} had all); its intervals hold the truth some 90 % of the time"
    )
    return [said]


def plain_value(
    metric: Metric,
    targets: Shaped[np.ndarray, "units ..."],
    predicted: Shaped[np.ndarray, "units ..."],
) -> float:
    """Return the metric without resampling; NaN where undefined."""
    together = torch.zeros(len(targets), dtype=torch.long)
    once = Resamples.of(torch.ones(1, 1, dtype=torch.float64), together)
    return float(replicates((metric,), targets, predicted[None], once)[metric][0, 0])


def _clusters(
    predictions: Predictions,
) -> tuple[list[str], Int[Tensor, " units"], Int[Tensor, " units"] | None]:
    first, second = predictions.clusters, predictions.other_clusters
    both = first if second is None else np.concatenate([first, second])
    names, index = np.unique(both, return_inverse=True)
    place = torch.from_numpy(index)
    return names.tolist(), place[: len(first)], None if second is None else place[len(first) :]
