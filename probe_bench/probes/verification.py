"""Speaker verification: cosine of pooled features, nothing fitted but mean and scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Trials", "cosine_scores", "make_trials"]


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Pairs of clips from different recordings.

    Attributes:
        first: Index of one clip.
        second: Index of the other.
        same: Whether both carry the same label (speaker).
    """

    first: Int[Tensor, " trials"]
    second: Int[Tensor, " trials"]
    same: Bool[Tensor, " trials"]


def make_trials(labels: Sequence[str], recordings: Sequence[str], cap: int = 20_000) -> Trials:
    """Pair all clips of different recordings, target and other trials each thinned evenly.

    Args:
        labels: Speaker of each clip.
        recordings: Recording of each clip; pairs within a recording would test the channel.
        cap: Most trials; error rates are per kind, so each kind may take half.
    """
    first, second = torch.triu_indices(len(labels), len(labels), 1)
    label = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    recording = torch.from_numpy(np.unique(recordings, return_inverse=True)[1])
    apart = recording[first] != recording[second]
    first, second = first[apart], second[apart]
    same = label[first] == label[second]
    kinds = [_thin(torch.nonzero(same == kind)[:, 0], cap // 2) for kind in (True, False)]
    keep = torch.cat(kinds).sort().values
    return Trials(first=first[keep], second=second[keep], same=same[keep])


def cosine_scores(x: Float[Tensor, "clips dim"], trials: Trials) -> Float[Tensor, " trials"]:
    """Cosine of each pair of (standardised) features."""
    unit = torch.nn.functional.normalize(x.float(), dim=1)
    first, second = trials.first.to(x.device), trials.second.to(x.device)
    return (unit[first] * unit[second]).sum(1).cpu()


def _thin(index: Int[Tensor, " trials"], cap: int) -> Int[Tensor, " kept"]:
    if len(index) <= cap:
        return index
    return index[torch.arange(cap) * len(index) // cap]
