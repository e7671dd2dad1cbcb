"""Metrics on weighted units, so that one code path gives the value and every bootstrap resample.

`weights` are `resamples units` (or `resamples clusters` for the metrics that are ratios of counts):
how often each unit stands in each resample; a row of ones is the plain metric. Each agrees with its
library namesake (scikit-learn's `accuracy_score`, `balanced_accuracy_score`,
`average_precision_score`, `roc_auc_score`; speechbrain's `EER` and `minDCF`; jiwer's error rate).

Where a resample lacks what a class needs (a member, or for AUC also a non-member), the class is left
out of that resample's mean; where no class is left the value is NaN.
"""

from collections.abc import Callable

import jiwer
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe_bench.task import Metric

__all__ = [
    "LOWER_IS_BETTER",
    "Ranked",
    "average_precision",
    "equal_error_rate",
    "mean_recall",
    "minimum_detection_cost",
    "phone_errors",
    "ratio",
    "roc_auc",
]

Ranked = Callable[
    [Float[Tensor, " units"], Bool[Tensor, " units"], Float[Tensor, "resamples units"]],
    Float[Tensor, " resamples"],
]

LOWER_IS_BETTER: frozenset[Metric] = frozenset({"eer", "mindcf", "per"})

_COST_MISS, _COST_FALSE_ALARM, _TARGET_PRIOR = 1.0, 1.0, 0.01  # as in NIST SRE, VoxCeleb


def ratio(
    numerator: Float[Tensor, " clusters"],
    denominator: Float[Tensor, " clusters"],
    weights: Float[Tensor, "resamples clusters"],
) -> Float[Tensor, " resamples"]:
    """Ratio of sums over clusters: accuracy (correct / units), PER (errors / reference phones)."""
    return (weights @ numerator) / (weights @ denominator)


def mean_recall(
    correct: Float[Tensor, "clusters classes"],
    count: Float[Tensor, "clusters classes"],
    weights: Float[Tensor, "resamples clusters"],
) -> Float[Tensor, " resamples"]:
    """Unweighted average recall over the classes that occur."""
    return torch.nanmean((weights @ correct) / (weights @ count), 1)


def average_precision(
    scores: Float[Tensor, " units"],
    positive: Bool[Tensor, " units"],
    weights: Float[Tensor, "resamples units"],
) -> Float[Tensor, " resamples"]:
    """Σ_thresholds (R_k - R_{k-1}) P_k, thresholds at distinct scores from high to low."""
    order, last = _descending(scores)
    sorted_weights = weights[:, order]
    hits = sorted_weights * positive[order]
    hits_so_far, so_far = hits.cumsum(1), sorted_weights.cumsum(1)
    precision = hits_so_far[:, last] / so_far[:, last].clamp(min=torch.finfo(torch.float64).tiny)
    return (hits * precision).sum(1) / hits_so_far[:, -1]


def roc_auc(
    scores: Float[Tensor, " units"],
    positive: Bool[Tensor, " units"],
    weights: Float[Tensor, "resamples units"],
) -> Float[Tensor, " resamples"]:
    """Probability that a member outscores a non-member, ties counting half (Mann-Whitney)."""
    order, last = _descending(scores)
    sorted_weights = weights[:, order]
    hits = sorted_weights * positive[order]
    misses_so_far = (sorted_weights - hits).cumsum(1)
    all_misses = misses_so_far[:, -1:]
    # Misses scoring strictly higher = misses up to the end of the tie group before this one.
    before = torch.nn.functional.pad(misses_so_far, (1, 0))[:, _first_of_ties(last)]
    beaten = all_misses - (before + misses_so_far[:, last]) / 2
    return (hits * beaten).sum(1) / (hits.sum(1) * all_misses[:, 0])


def equal_error_rate(
    scores: Float[Tensor, " trials"],
    same: Bool[Tensor, " trials"],
    weights: Float[Tensor, "resamples trials"],
) -> Float[Tensor, " resamples"]:
    """Mean of false rejection and false acceptance where they are closest.

    The lowest of equally close thresholds wins, as in speechbrain.
    """
    false_rejection, false_acceptance = _error_rates(scores, same, weights)
    best = (false_acceptance - false_rejection).abs().argmin(1, keepdim=True)
    return (false_rejection + false_acceptance).gather(1, best)[:, 0] / 2


def minimum_detection_cost(
    scores: Float[Tensor, " trials"],
    same: Bool[Tensor, " trials"],
    weights: Float[Tensor, "resamples trials"],
) -> Float[Tensor, " resamples"]:
    """Lowest detection cost of any threshold, over the lowest that needs no scores.

    C = C_miss P_target P_miss + C_fa (1 - P_target) P_fa with C_miss = C_fa = 1, P_target = .01, over
    min(C_miss P_target, C_fa (1 - P_target)) = .01 (NIST SRE; speechbrain's `minDCF` is C itself).
    At 1 scores are worth nothing: rejecting all trials costs no more.
    """
    misses, false_alarms = _error_rates(scores, same, weights)
    miss, false_alarm = _COST_MISS * _TARGET_PRIOR, _COST_FALSE_ALARM * (1 - _TARGET_PRIOR)
    return (miss * misses + false_alarm * false_alarms).amin(1) / min(miss, false_alarm)


def _error_rates(
    scores: Float[Tensor, " trials"],
    same: Bool[Tensor, " trials"],
    weights: Float[Tensor, "resamples trials"],
) -> tuple[Float[Tensor, "resamples thresholds"], Float[Tensor, "resamples thresholds"]]:
    """False rejection and false acceptance at every threshold, the lowest first.

    Rates change only at scores, so the thresholds at distinct scores (reject if score <= threshold)
    see every pair of rates that speechbrain's candidate thresholds see. Both are NaN where a resample
    has no target or no other trial.
    """
    order = torch.argsort(scores, stable=True)
    ends = torch.unique_consecutive(scores[order], return_counts=True)[1].cumsum(0) - 1
    sorted_weights = weights[:, order]
    targets = sorted_weights * same[order]
    rejected = targets.cumsum(1)[:, ends]
    passed_over = (sorted_weights - targets).cumsum(1)[:, ends]
    n_targets, n_others = rejected[:, -1:], passed_over[:, -1:]
    undefined = (n_targets * n_others) == 0
    false_rejection, false_acceptance = rejected / n_targets, 1 - passed_over / n_others
    return (
        false_rejection.masked_fill(undefined, torch.nan),
        false_acceptance.masked_fill(undefined, torch.nan),
    )


def phone_errors(references: list[str], hypotheses: list[str]) -> Int[np.ndarray, " clips"]:
    """Substitutions + deletions + insertions of each clip; phones are separated by spaces."""
    aligned = jiwer.process_words(references, hypotheses).alignments
    return np.array([sum(_errors(chunk) for chunk in clip) for clip in aligned])


def _errors(chunk: jiwer.AlignmentChunk) -> int:
    if chunk.type == "equal":
        return 0
    reference = chunk.ref_end_idx - chunk.ref_start_idx
    return int(max(reference, chunk.hyp_end_idx - chunk.hyp_start_idx))


def _descending(
    scores: Float[Tensor, " units"],
) -> tuple[Int[Tensor, " units"], Int[Tensor, " units"]]:
    """Order from high to low, and for each place in it the last place of equal score."""
    order = torch.argsort(scores, descending=True, stable=True)
    counts = torch.unique_consecutive(scores[order], return_counts=True)[1]
    return order, (counts.cumsum(0) - 1).repeat_interleave(counts)


def _first_of_ties(last: Int[Tensor, " units"]) -> Int[Tensor, " units"]:
    """First place of each tie group, from the last place of each."""
    ends = torch.unique_consecutive(last)
    starts = torch.nn.functional.pad(ends[:-1] + 1, (1, 0))
    return starts.repeat_interleave(torch.diff(starts, append=ends[-1:] + 1))
