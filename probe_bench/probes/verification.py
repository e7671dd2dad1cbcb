"""Speaker verification: which clips are compared, and their cosines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["MOST_CLIPS", "Trials", "cosine_scores", "make_trials", "pair_sums"]

_ELEMENTS = 1 << 23  # products of pairs in flight
MOST_CLIPS = 4096  # all of whose pairs are listed; of more clips, so many at even distances


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Pairs of clips.

    Attributes:
        first: Index of one clip.
        second: Index of the other.
        same: Whether both carry the same label (speaker).
    """

    first: Int[Tensor, " trials"]
    second: Int[Tensor, " trials"]
    same: Bool[Tensor, " trials"]

    def __len__(self) -> int:
        return len(self.same)


def make_trials(labels: Sequence[str], recordings: Sequence[str], cap: int = 20_000) -> Trials:
    """Pair all clips of different recordings, target and other trials each thinned evenly.

    Args:
        labels: Speaker of each clip.
        recordings: Recording of each clip; pairs within a recording would test the channel.
        cap: Most trials; error rates are per kind, so each kind may take half.
    """
    clips = _thin(torch.arange(len(labels)), MOST_CLIPS)
    label, recording = (
        torch.from_numpy(np.unique(names, return_inverse=True)[1])[clips]
        for names in (labels, recordings)
    )
    first, second = torch.triu_indices(len(clips), len(clips), 1)
    apart = recording[first] != recording[second]
    first, second = first[apart], second[apart]
    same = label[first] == label[second]
    kinds = [_thin(torch.nonzero(same == kind)[:, 0], cap // 2) for kind in (True, False)]
    keep = torch.cat(kinds).sort().values
    return Trials(first=clips[first[keep]], second=clips[second[keep]], same=same[keep])


def cosine_scores(x: Float[Tensor, "clips dim"], trials: Trials) -> Float[Tensor, " trials"]:
    """Cosine of each pair of (standardised) features."""
    unit = torch.nn.functional.normalize(x, dim=1)
    return pair_sums(unit, unit, trials)


def pair_sums(
    x: Float[Tensor, "clips dim"], y: Float[Tensor, "clips dim"], trials: Trials
) -> Float[Tensor, " trials"]:
    """Sum over dimensions of x of the first clip times y of the second, in blocks of trials."""
    rows = max(1, _ELEMENTS // max(1, x.shape[1]))
    pairs = zip(torch.split(trials.first, rows), torch.split(trials.second, rows), strict=True)
    return torch.cat([(x[a.to(x.device)] * y[b.to(y.device)]).sum(1) for a, b in pairs])


def _thin(index: Int[Tensor, " trials"], cap: int) -> Int[Tensor, " kept"]:
    if len(index) <= cap:
        return index
    return index[torch.arange(cap) * len(index) // cap]
