"""Adaptive symmetric normalisation of scores (AS-norm).

A score is centred and scaled by what the two clips score against the members of a cohort that are
nearest to each: Matejka et al. 2017, Analysis of score normalization in multilingual speaker
recognition (the variant in which each clip has its own nearest members),

    s = ((s_12 - mean_1) / std_1 + (s_12 - mean_2) / std_2) / 2.

The cohort holds one vector a training speaker, the mean of the speaker's unit vectors (Desplanques et
al. 2020, ECAPA-TDNN, section 4).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.verification import Trials

__all__ = ["cohort_statistics", "normalise", "speaker_means"]

_CLIPS = 4096  # clips compared with a cohort at once


def speaker_means(
    unit: Float[Tensor, "clips dim"], speaker: Int[Tensor, " clips"]
) -> Float[Tensor, "speakers dim"]:
    """Average the unit vectors of each speaker, and return the averages as unit vectors."""
    sums = unit.new_zeros(int(speaker.max()) + 1, unit.shape[1]).index_add_(0, speaker, unit)
    return torch.nn.functional.normalize(sums, dim=1)


def cohort_statistics(
    unit: Float[Tensor, "clips dim"], cohort: Float[Tensor, "cohort dim"], tops: Sequence[int]
) -> tuple[Float[Tensor, "tops clips"], Float[Tensor, "tops clips"]]:
    """Mean and standard deviation of each clip's highest cosines with a cohort, for every N at once.

    Args:
        unit: Unit vectors of the clips.
        cohort: Unit vectors that they are compared with.
        tops: How many of the highest cosines are taken; none more than there are.
    """
    last = torch.tensor(tops, device=unit.device) - 1
    means, squares = [], []
    for some in torch.split(unit, _CLIPS):
        highest = (some @ cohort.T).double().topk(max(tops), 1).values
        means.append(highest.cumsum(1)[:, last] / (last + 1))
        squares.append(highest.square().cumsum(1)[:, last] / (last + 1))
    mean, square = torch.cat(means).T, torch.cat(squares).T
    return mean, (square - mean.square()).clamp(min=0).sqrt()


def normalise(
    scores: Float[Tensor, " trials"],
    mean: Float[Tensor, "tops clips"],
    std: Float[Tensor, "tops clips"],
    trials: Trials,
) -> Float[Tensor, "tops trials"]:
    """Normalise the scores of trials by the statistics of both clips, for every N."""
    first, second = trials.first.to(scores.device), trials.second.to(scores.device)
    scale = 1 / std.clamp(min=torch.finfo(torch.float32).eps)
    sides = [(scores - mean[:, index]) * scale[:, index] for index in (first, second)]
    return (sides[0] + sides[1]) / 2
