"""Where in depth a task lives: peak, centre of gravity and expected depth, with intervals.

From the layers' test scores s_l and their shared replicates; depth d_l runs from 0 to 1.

`depth_peak`: depth of the best layer (the first of equals). Its replicates are the depths of the best
layer in every resample, so its interval is the range in which the best layer moves.

`depth_gravity`: Σ w_l d_l / Σ w_l with w_l = s_l - min s, what a layer has above the poorest.

`depth_expected`: where on the way up the score is gained. Tenney et al. (2019, arXiv 1905.05950, section
3.2) take Σ l Δ_l / Σ Δ_l over the gains Δ_l of probes that read all layers up to l, which never
fall. A probe of one layer may fall, so the gains here are those of the running best,
Δ_l = max_{j<=l} s_j - max_{j<l} s_j, from the second layer on: what lies in the first is the input's.

A flat curve says nothing of where: its weights and gains are noise and would give about the middle, with
an interval far too sure of it. So `depth_gravity` is left empty where no two layers differ
(`reason=flat`), and `depth_expected` where none beats the first (`reason=no gain over ...`), both by paired
tests at 5 %, max-T over all pairs asked (`comparison`). A flat curve's `depth_peak` has an
interval of about the whole depth.

Intervals are percentiles of the replicates, which keep to the layers' depths where a spread would
not: at Φ(∓ t_{.975, G-1} √(G/(G-1))), which makes up for few clusters G (Hesterberg 2015, The American
Statistician 69, section 4.2).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from probe_bench.comparison import compare
from probe_bench.metrics import LOWER_IS_BETTER
from probe_bench.scoring import Score

__all__ = ["ALL_LAYERS", "expected_depth", "gravity", "localise", "peak"]

ALL_LAYERS = "all"
_LEVEL = 0.05


def localise(scores: Sequence[Score], depths: Sequence[float]) -> list[Score]:
    """Locate one task in depth.

    Args:
        scores: Of every layer, by one probe and metric, in order of depth.
        depths: Of the layers, 0 to 1.

    Returns:
        `depth_peak`, `depth_gravity` and `depth_expected`; nothing for an encoder of one layer.
    """
    if len(scores) < 2:
        return []
    sign = -1.0 if scores[0].metric in LOWER_IS_BETTER else 1.0
    curves = sign * torch.stack([score.replicates for score in scores])
    place = torch.tensor(depths, dtype=curves.dtype)
    pairs = list(combinations(range(len(scores)), 2))
    n_groups = scores[0].n_groups
    flat = not _differ(curves, pairs, n_groups)
    first = [(later, 0) for later in range(1, len(scores))]
    gained = _differ(curves, first, n_groups, above=True)
    found = (
        ("depth_peak", peak(curves, place), ""),
        ("depth_gravity", gravity(curves, place), "reason=flat" if flat else ""),
        (
            "depth_expected",
            expected_depth(curves, place),
            "" if gained else f"reason=no gain over {scores[0].layer}",
        ),
    )
    return [_score(scores[0], *each) for each in found]


def peak(
    curves: Float[Tensor, "layers rows"], depths: Float[Tensor, " layers"]
) -> Float[Tensor, " rows"]:
    """Depth of the best layer of each row, the first of equals."""
    return depths[curves.nan_to_num(-torch.inf).argmax(0)]


def gravity(
    curves: Float[Tensor, "layers rows"], depths: Float[Tensor, " layers"]
) -> Float[Tensor, " rows"]:
    """Centre of gravity of what layers have above the poorest; NaN where all are equal."""
    weights = curves - curves.amin(0)
    return depths @ weights / weights.sum(0)


def expected_depth(
    curves: Float[Tensor, "layers rows"], depths: Float[Tensor, " layers"]
) -> Float[Tensor, " rows"]:
    """Mean depth of the gains of the running best; NaN where the first layer is the best."""
    gains = curves.cummax(0).values.diff(dim=0)
    return depths[1:] @ gains / gains.sum(0)


def _differ(
    curves: Float[Tensor, "layers rows"],
    pairs: Sequence[tuple[int, int]],
    n_groups: int,
    *,
    above: bool = False,
) -> bool:
    """Say whether any pair differs beyond doubt; with `above`, the first must be the larger."""
    one, other = (curves[list(side)] for side in zip(*pairs, strict=True))
    found = compare(one, other, n_groups)
    return any(
        d.p_max_t is not None
        and d.p_max_t < _LEVEL
        and (not above or (d.interval.value or 0.0) > 0)
        for d in found
    )


def _score(like: Score, metric: str, replicates: Float[Tensor, " rows"], reason: str) -> Score:
    value, low, high = (None, None, None) if reason else _percentiles(replicates, like.n_groups)
    return replace(
        like,
        layer=ALL_LAYERS,
        setting=reason or f"of={like.metric}",
        metric=metric,
        value=value,
        ci_low=low,
        ci_high=high,
        chosen=False,
        replicates=replicates,
    )


def _percentiles(
    replicates: Float[Tensor, " rows"], n_clusters: int
) -> tuple[float | None, float | None, float | None]:
    """Value and interval; resamples without a place are left out."""
    value, resamples = float(replicates[0]), replicates[1:]
    if not math.isfinite(value):
        return None, None, None
    if n_clusters < 2:
        return value, None, None
    widened = stats.t.ppf(0.975, n_clusters - 1) * math.sqrt(n_clusters / (n_clusters - 1))
    low, high = np.nanquantile(resamples.numpy(), stats.norm.cdf([-widened, widened]))
    return value, min(float(low), value), max(float(high), value)
