"""Metrics of all layers in all resamples, in bounded memory.

Held beside the predictions: the resamples (float64, a number a cluster and resample), the table of
weights (float32, a number a cell and resample: 80 MB for 10,000 clips that are their own clusters and
2,000 resamples) and some ten arrays of `_BLOCK` numbers: classes and resamples are taken in blocks.
Only a class that fills most of a long list of units makes larger ones: 16 resamples of it at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from probe_bench import metrics
from probe_bench.equal_error import EqualErrorRate
from probe_bench.ranking import Sweeps, exact_dtype
from probe_bench.task import Metric

__all__ = ["Resamples", "replicates"]

_BLOCK = 1 << 20  # numbers in one array of a block: small enough for the caches of a CPU
_MOST_ROWS = 256  # resamples in a block: rows of the table of weights that lie close together


@dataclass(frozen=True, kw_only=True)
class Resamples:
    """How often every unit stands in every resample.

    A resample that draws clusters a and b w_a and w_b times holds w_a w_b copies of the trials
    between them. Trials within a cluster come w_a times: copies of one cluster are taken as
    different ones, and there are no trials between a cluster and its own copy.

    Attributes:
        weights: Of each cluster; a row is a resample.
        cluster: Cluster of each unit.
        cell: Which of the pairs each unit belongs to.
        first: One cluster of each pair.
        second: The other; the same where units belong to one cluster.
    """

    weights: Float[Tensor, "rows clusters"]
    cluster: Int[Tensor, " units"]
    cell: Int[Tensor, " units"]
    first: Int[Tensor, " cells"]
    second: Int[Tensor, " cells"]

    @classmethod
    def of(
        cls,
        weights: Float[Tensor, "rows clusters"],
        cluster: Int[Tensor, " units"],
        other: Int[Tensor, " units"] | None = None,
    ) -> "Resamples":
        """Find the distinct pairs of clusters; `other` is that of the second clip of each trial."""
        n = weights.shape[1]
        other = cluster if other is None else other
        pair = torch.minimum(cluster, other) * n + torch.maximum(cluster, other)
        cells, cell = torch.unique(pair, return_inverse=True)
        return cls(weights=weights, cluster=cluster, cell=cell, first=cells // n, second=cells % n)

    def table(self, size: int) -> list[Float[Tensor, "cells rows"]]:
        """Weights of all cells, in blocks of resamples that lie together in memory."""
        heaviest = float(self.weights.max())
        if not torch.equal(self.first, self.second):
            heaviest *= heaviest
        dtype = exact_dtype(heaviest * len(self.cell))
        return [self._weights(rows.T.to(dtype)) for rows in torch.split(self.weights, size)]

    def _weights(self, weights: Float[Tensor, "clusters some"]) -> Float[Tensor, "cells some"]:
        weights = weights.contiguous()
        first, second = weights[self.first], weights[self.second]
        return torch.where((self.first == self.second)[:, None], first, first * second)

    def cluster_sums(
        self, values: Float[Tensor, "layers units"], column: Int[Tensor, " units"], n_columns: int
    ) -> Float[Tensor, "layers clusters columns"]:
        """Sum values over the units of each cluster and column."""
        place = (self.cluster * n_columns + column).expand_as(values)
        sums = values.new_zeros(len(values), self.weights.shape[1] * n_columns)
        return sums.scatter_add_(1, place, values).view(len(values), -1, n_columns)


def replicates(
    names: Sequence[Metric],
    targets: Shaped[np.ndarray, "units ..."],
    predicted: Shaped[np.ndarray, "layers units ..."],
    resamples: Resamples,
) -> dict[Metric, Float[Tensor, "layers rows"]]:
    """Measure all layers in all resamples; NaN where undefined.

    Args:
        names: Metrics.
        targets: As in `scoring.Predictions`.
        predicted: The same.
        resamples: Weights of the units.
    """
    swept = [name for name in names if name in metrics.SWEPT]
    of_classes = targets.ndim == 2  # else of trials: one class
    found = (
        _swept(
            swept,
            targets if of_classes else targets[:, None],
            predicted if of_classes else predicted[..., None],
            resamples,
        )
        if swept
        else {}
    )
    for name in names:
        match name:
            case "accuracy":
                hits = torch.from_numpy((predicted == targets).astype(np.float64))
                found[name] = _ratio(hits, torch.ones_like(hits[0]), resamples)
            case "uar":
                found[name] = _mean_recall(targets, predicted, resamples)
            case "per":
                found[name] = _ratio(*_errors_and_phones(targets, predicted), resamples)
            case "eer":
                found[name] = _equal_error_rate(targets, predicted, resamples)
    return found


def _ratio(
    numerator: Float[Tensor, "layers units"],
    denominator: Float[Tensor, " units"],
    resamples: Resamples,
) -> Float[Tensor, "layers rows"]:
    only = torch.zeros_like(resamples.cluster)
    top = resamples.cluster_sums(numerator, only, 1)[..., 0]
    bottom = resamples.cluster_sums(denominator[None], only, 1)[0, :, 0]
    return metrics.ratio(top, bottom, resamples.weights)


def _mean_recall(
    targets: Int[np.ndarray, " units"],
    predicted: Int[np.ndarray, "layers units"],
    resamples: Resamples,
) -> Float[Tensor, "layers rows"]:
    target = torch.from_numpy(targets.astype(np.int64))
    n_classes = int(target.max()) + 1
    count = resamples.cluster_sums(torch.ones(1, len(target)).double(), target, n_classes)[0]
    n_layers = max(1, _BLOCK // (n_classes * sum(resamples.weights.shape)))
    hits = torch.split(torch.from_numpy(predicted == targets), n_layers)
    return torch.cat(
        [
            metrics.mean_recall(
                resamples.cluster_sums(block.double(), target, n_classes), count, resamples.weights
            )
            for block in hits
        ]
    )


def _errors_and_phones(
    targets: Shaped[np.ndarray, " units"], predicted: Shaped[np.ndarray, "layers units"]
) -> tuple[Float[Tensor, "layers units"], Float[Tensor, " units"]]:
    errors = metrics.phone_errors(targets.tolist() * len(predicted), predicted.ravel().tolist())
    phones = [len(str(reference).split()) for reference in targets]
    return (
        torch.from_numpy(errors.reshape(predicted.shape)).double(),
        torch.tensor(phones, dtype=torch.float64),
    )


def _equal_error_rate(
    same: Bool[np.ndarray, " trials"],
    scores: Float[np.ndarray, "layers trials"],
    resamples: Resamples,
) -> Float[Tensor, "layers rows"]:
    ranked = torch.from_numpy(scores)
    measure = EqualErrorRate(ranked, torch.from_numpy(same.astype(bool)), resamples.cell)
    blocks = resamples.table(_rows(len(scores) * 2 * int(len(same) ** 0.5)))
    rates = torch.cat([measure(weights) for weights in blocks], 1)
    return rates.masked_fill(ranked.isnan().any(1, keepdim=True), torch.nan)


def _swept(
    names: Sequence[Metric],
    targets: Shaped[np.ndarray, "units classes"],
    predicted: Float[np.ndarray, "layers units classes"],
    resamples: Resamples,
) -> dict[Metric, Float[Tensor, "layers rows"]]:
    """Mean over classes of metrics of one class against the rest."""
    scores, member = torch.from_numpy(predicted), torch.from_numpy(targets.astype(bool))
    n_layers, n_members = len(scores), member.sum(0)
    blocks = resamples.table(_rows(n_layers * int(n_members.max())))
    starts = np.cumsum([0, *(block.shape[1] for block in blocks)])
    total = torch.zeros(len(names), n_layers, starts[-1], dtype=torch.float64)
    defined = torch.zeros_like(total)
    for some in _class_blocks(n_members, n_layers, len(member), blocks[0].shape[1]):
        sweeps = Sweeps(
            scores[:, :, some].permute(2, 0, 1).flatten(0, 1),
            member[:, some].T.repeat_interleave(n_layers, 0),
            resamples.cell,
        )
        for start, weights in zip(starts, blocks, strict=False):
            rows = slice(start, start + weights.shape[1])
            sweep = sweeps(weights)
            for k, name in enumerate(names):
                values = metrics.SWEPT[name](sweep).view(len(some), n_layers, -1)
                total[k, :, rows] += values.nansum(0)
                defined[k, :, rows] += values.isfinite().sum(0)
    mean = (total / defined).masked_fill(scores.isnan().flatten(1).any(1)[:, None], torch.nan)
    return dict(zip(names, mean, strict=True))


def _rows(numbers_a_row: int) -> int:
    """Resamples in a block."""
    return min(max(_BLOCK // max(numbers_a_row, 1), 16), _MOST_ROWS)


def _class_blocks(
    n_members: Int[Tensor, " classes"], n_layers: int, n_units: int, n_rows: int
) -> Iterator[Int[Tensor, " some"]]:
    """Cut classes into blocks of like numbers of members."""
    order = n_members.argsort(descending=True, stable=True)
    while len(order):
        steps = max(int(n_members[order[0]]), 1)
        size = max(1, min(_BLOCK // (n_layers * steps * n_rows), _BLOCK // (n_layers * n_units)))
        yield order[:size]
        order = order[size:]
