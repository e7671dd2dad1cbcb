"""Metrics on weighted units, so that one code path gives the value and every bootstrap resample.

A row is a resample: how often each cluster stands in it; a row of ones is the plain metric. All
layers are measured at once. Each metric agrees with its library namesake (scikit-learn's
`accuracy_score`, `balanced_accuracy_score`, `average_precision_score`, `roc_auc_score`;
jiwer's error rate; speechbrain's `minDCF`, and `EER`, which stands in `equal_error`).

Where a resample lacks what a class needs (a member, or for AUC also a non-member), the value is NaN,
and the class is left out of that resample's mean.
"""

from collections.abc import Callable

import jiwer
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.bootstrap import Scale
from probe_bench.ranking import Sweep
from probe_bench.task import Metric

__all__ = [
    "BIASED",
    "LOWER_IS_BETTER",
    "SCALES",
    "SWEPT",
    "average_precision",
    "mean_recall",
    "minimum_detection_cost",
    "phone_errors",
    "ratio",
    "roc_auc",
]

LOWER_IS_BETTER: frozenset[Metric] = frozenset({"eer", "mindcf", "per"})

_COST_MISS, _COST_FALSE_ALARM, _TARGET_PRIOR = 1.0, 1.0, 0.01  # as in NIST SRE, VoxCeleb

# What has no upper edge (an error rate may pass 1) is a ratio.
SCALES: dict[Metric, Scale] = {
    "accuracy": "logit",
    "uar": "logit",
    "map": "logit",
    "macro_auc": "logit",
    "eer": "logit",
    "mindcf": "capped log",
    "per": "log",
}

# From few members of a class average precision comes out too high: by .02 with 30, .05 with 10.
BIASED: frozenset[Metric] = frozenset({"map"})


def ratio(
    numerator: Float[Tensor, "layers clusters"],
    denominator: Float[Tensor, " clusters"],
    weights: Float[Tensor, "rows clusters"],
) -> Float[Tensor, "layers rows"]:
    """Ratio of sums over clusters: accuracy (correct / units), PER (errors / reference phones)."""
    return (numerator @ weights.T) / (weights @ denominator)


def mean_recall(
    correct: Float[Tensor, "layers clusters classes"],
    count: Float[Tensor, "clusters classes"],
    weights: Float[Tensor, "rows clusters"],
) -> Float[Tensor, "layers rows"]:
    """Unweighted average recall over the classes that occur."""
    sums = (weights @ correct.transpose(0, 1).flatten(1)).view(len(weights), len(correct), -1)
    mean: Tensor = torch.nanmean(sums / (weights @ count)[:, None], 2)
    return mean.T


def average_precision(sweep: Sweep) -> Float[Tensor, "problems rows"]:
    """Σ_thresholds (R_k - R_{k-1}) P_k, thresholds at distinct scores from high to low."""
    let_in = (sweep.found + sweep.false).clamp_(min=1)  # 0 only where nothing is found
    precision = sweep.found.double() / let_in
    return precision.mul_(sweep.hits).sum(1) / sweep.members.double()


def roc_auc(sweep: Sweep) -> Float[Tensor, "problems rows"]:
    """Probability that a member outscores a non-member, ties counting half (Mann-Whitney)."""
    beaten = sweep.others[:, None] - sweep.false
    if sweep.tied is not None:
        beaten += sweep.tied / 2
    pairs = sweep.members.double() * sweep.others
    return beaten.double().mul_(sweep.hits).sum(1) / pairs


def minimum_detection_cost(sweep: Sweep) -> Float[Tensor, "problems rows"]:
    """Lowest detection cost of any threshold, over the lowest that needs no scores.

    C = C_miss P_target P_miss + C_fa (1 - P_target) P_fa with C_miss = C_fa = 1, P_target = .01, over
    min(C_miss P_target, C_fa (1 - P_target)) = .01 (NIST SRE; speechbrain's `minDCF` is C itself).
    The cost falls only where a target is let in. At 1 scores are worth nothing: rejecting all
    trials costs no more.
    """
    missed = 1 - sweep.found.double() / sweep.members.double()[:, None]
    let_in = sweep.false.double() / sweep.others.double()[:, None]
    miss, false_alarm = _COST_MISS * _TARGET_PRIOR, _COST_FALSE_ALARM * (1 - _TARGET_PRIOR)
    cost = (miss * missed + false_alarm * let_in).amin(1)
    return cost.clamp(max=miss) / min(miss, false_alarm)


# Metrics that need no more than a sweep from member to member; a further one is a line here.
SWEPT: dict[Metric, Callable[[Sweep], Float[Tensor, "problems rows"]]] = {
    "map": average_precision,
    "macro_auc": roc_auc,
    "mindcf": minimum_detection_cost,
}


def phone_errors(references: list[str], hypotheses: list[str]) -> Int[np.ndarray, " clips"]:
    """Substitutions + deletions + insertions of each clip; phones are separated by spaces."""
    aligned = jiwer.process_words(references, hypotheses).alignments
    return np.array([sum(_errors(chunk) for chunk in clip) for clip in aligned])


def _errors(chunk: jiwer.AlignmentChunk) -> int:
    if chunk.type == "equal":
        return 0
    reference = chunk.ref_end_idx - chunk.ref_start_idx
    return int(max(reference, chunk.hyp_end_idx - chunk.hyp_start_idx))
