"""Views: several pieces of one clip whose embeddings must agree (LeJEPA, Rectified LpJEPA)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoders.pretraining.ranges import Count, PositiveShare, Ranged, Whole

__all__ = ["ViewRule", "agreement", "cut_views"]


@dataclass(frozen=True, kw_only=True)
class ViewRule(Ranged):
    """How views are cut from a clip.

    Attributes:
        global_views: Number of long views.
        global_share: Length of a long view as a share of the clip.
        local_views: Number of short views.
        local_share: Length of a short view as a share of the clip.
    """

    global_views: Count = 2
    global_share: PositiveShare = 0.75
    local_views: Whole = 6
    local_share: PositiveShare = 0.25

    def lengths(self, samples: int) -> list[int]:
        """Samples of every view, long ones first."""
        long, short = round(self.global_share * samples), round(self.local_share * samples)
        return [long] * self.global_views + [short] * self.local_views


def cut_views(
    waveform: Float[Tensor, "batch samples"], rule: ViewRule, rngs: list[np.random.Generator]
) -> list[Float[Tensor, "batch _"]]:
    """Cut views at random places, every clip by its own generator."""
    samples = waveform.shape[1]
    views = []
    for length in rule.lengths(samples):
        starts = [int(rng.integers(samples - length + 1)) for rng in rngs]
        views.append(
            torch.stack([w[s : s + length] for w, s in zip(waveform, starts, strict=True)])
        )
    return views


def agreement(embeddings: Float[Tensor, "views batch dim"], global_views: int) -> Float[Tensor, ""]:
    """Mean over views and clips of |mu_n - z_nv|^2, mu_n the mean of the clip's global views.

    No stop-gradient on mu (LeJEPA, equation 6 and its minimal code). The squared distance is
    averaged over dimensions, as in that code. With two global views and no local ones this is a
    quarter of the mean squared difference of the pair, Rectified LpJEPA's invariance term.
    """
    centre = embeddings[:global_views].mean(0)
    return (embeddings - centre).square().mean()
