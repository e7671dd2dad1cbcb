"""From predictions to scores: metric, clustered interval, and the record to score again from."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from probe_bench import metrics
from probe_bench.bootstrap import cluster_weights, interval
from probe_bench.task import Metric

__all__ = ["Predictions", "Score", "plain_value", "score"]

_ELEMENTS_IN_FLIGHT = 1 << 22  # resamples x units held at once (32 MB of float64)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number with its interval, ready to become a result row.

    Attributes:
        layer: Canonical layer name, `best` for the layer picked on validation data, empty for
            chance.
        probe: Name of the probe, or `majority`.
        setting: `key=value` pairs joined by `;`.
        unit: `clip`, `frame` or `trial`.
        metric: Name of the metric.
        value: The number, None where it could not be measured.
        ci_low: Lower end of the 95 % interval.
        ci_high: Upper end.
        n: Units scored.
        n_groups: Clusters of the bootstrap.
        chosen: Picked on validation data.
        replicates: The number itself and its value in every resample, which all scores of the task
            share.
    """

    layer: str
    probe: str
    setting: str
    unit: str
    metric: Metric
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_groups: int
    chosen: bool
    replicates: Float[Tensor, " rows"] = field(repr=False, compare=False)


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
        notes: What the reader of the scores should know.
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
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Resamples:
    """Cluster of each unit (two for a trial) and how often each cluster stands in each row."""

    cluster: Int[Tensor, " units"]
    other: Int[Tensor, " units"] | None
    weights: Float[Tensor, "rows clusters"]

    def unit_weights(self, rows: slice) -> Float[Tensor, "some units"]:
        """Weight of each unit.

        A resample that draws clusters a and b w_a and w_b times holds w_a w_b copies of the trials
        between them. Trials within a cluster come w_a times: copies of one cluster are taken as
        different ones, and there are no trials between a cluster and its own copy.
        """
        first = self.weights[rows][:, self.cluster]
        if self.other is None:
            return first
        return torch.where(
            self.cluster == self.other, first, first * self.weights[rows][:, self.other]
        )

    def cluster_sums(
        self, values: Float[Tensor, " units"], column: Int[Tensor, " units"], n_columns: int
    ) -> Float[Tensor, "clusters columns"]:
        """Sum values over the units of each cluster and column."""
        n_clusters = self.weights.shape[1]
        place = self.cluster * n_columns + column
        flat = torch.bincount(place, values, minlength=n_clusters * n_columns)
        return flat.view(n_clusters, n_columns)


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
    resamples = _Resamples(cluster=cluster, other=other, weights=weights)
    scores = []
    for metric in names:
        for row, layer in enumerate(predictions.layers):
            replicates = _replicates(
                metric, predictions.targets, predictions.predicted[row], resamples
            )
            found = interval(replicates, len(clusters))
            scores.append(
                Score(
                    layer=layer,
                    probe=predictions.probe,
                    setting=predictions.settings[row],
                    unit=predictions.unit,
                    metric=metric,
                    value=found.value,
                    ci_low=found.low,
                    ci_high=found.high,
                    n=len(predictions.clip_ids),
                    n_groups=len(clusters),
                    chosen=predictions.chosen[row],
                    replicates=replicates,
                )
            )
    return scores


def plain_value(
    metric: Metric,
    targets: Shaped[np.ndarray, "units ..."],
    predicted: Shaped[np.ndarray, "units ..."],
) -> float:
    """Return the metric without resampling; NaN where undefined."""
    cluster = torch.zeros(len(targets), dtype=torch.long)
    once = _Resamples(cluster=cluster, other=None, weights=torch.ones(1, 1, dtype=torch.float64))
    return float(_replicates(metric, targets, predicted, once)[0])


def _clusters(
    predictions: Predictions,
) -> tuple[list[str], Int[Tensor, " units"], Int[Tensor, " units"] | None]:
    first, second = predictions.clusters, predictions.other_clusters
    both = first if second is None else np.concatenate([first, second])
    names, index = np.unique(both, return_inverse=True)
    place = torch.from_numpy(index)
    return names.tolist(), place[: len(first)], None if second is None else place[len(first) :]


def _replicates(
    metric: Metric,
    targets: Shaped[np.ndarray, "units ..."],
    predicted: Shaped[np.ndarray, "units ..."],
    resamples: _Resamples,
) -> Float[Tensor, " rows"]:
    match metric:
        case "accuracy":
            hits = torch.from_numpy((predicted == targets).astype(np.float64))
            return _ratio(hits, torch.ones_like(hits), resamples)
        case "uar":
            return _mean_recall(targets, predicted, resamples)
        case "per":
            errors = metrics.phone_errors(targets.tolist(), predicted.tolist())
            phones = [len(str(reference).split()) for reference in targets]
            return _ratio(
                torch.from_numpy(errors.astype(np.float64)),
                torch.tensor(phones, dtype=torch.float64),
                resamples,
            )
        case "eer" | "mindcf":
            of_trials = {
                "eer": metrics.equal_error_rate,
                "mindcf": metrics.minimum_detection_cost,
            }[metric]
            return _ranked(of_trials, targets[:, None], predicted[:, None], resamples)
        case "map":
            return _ranked(metrics.average_precision, targets, predicted, resamples)
        case "macro_auc":
            return _ranked(metrics.roc_auc, targets, predicted, resamples)


def _ratio(
    numerator: Float[Tensor, " units"], denominator: Float[Tensor, " units"], resamples: _Resamples
) -> Float[Tensor, " rows"]:
    only = torch.zeros_like(resamples.cluster)
    top = resamples.cluster_sums(numerator, only, 1)[:, 0]
    bottom = resamples.cluster_sums(denominator, only, 1)[:, 0]
    return metrics.ratio(top, bottom, resamples.weights)


def _mean_recall(
    targets: Int[np.ndarray, " units"], predicted: Int[np.ndarray, " units"], resamples: _Resamples
) -> Float[Tensor, " rows"]:
    target = torch.from_numpy(targets.astype(np.int64))
    hits = torch.from_numpy((predicted == targets).astype(np.float64))
    n_classes = int(target.max()) + 1
    correct = resamples.cluster_sums(hits, target, n_classes)
    count = resamples.cluster_sums(torch.ones_like(hits), target, n_classes)
    return metrics.mean_recall(correct, count, resamples.weights)


def _ranked(
    metric: metrics.Ranked,
    targets: Shaped[np.ndarray, "units classes"],
    predicted: Float[np.ndarray, "units classes"],
    resamples: _Resamples,
) -> Float[Tensor, " rows"]:
    """Mean over classes of a metric that sorts units, in blocks of resamples."""
    scores, member = torch.from_numpy(predicted), torch.from_numpy(targets.astype(bool))
    rows = max(1, _ELEMENTS_IN_FLIGHT // len(targets))
    blocks = []
    for start in range(0, len(resamples.weights), rows):
        weights = resamples.unit_weights(slice(start, start + rows))
        columns = range(member.shape[1])
        values = torch.stack([metric(scores[:, k], member[:, k], weights) for k in columns])
        blocks.append(torch.nanmean(values, 0))
    return torch.cat(blocks)
