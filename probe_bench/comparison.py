"""Paired tests: is the difference between two scores real, and how sure, where several are asked?

Scores on one corpus share their resamples (`bootstrap`), so the replicates of a difference are the
differences of the replicates: what all encoders find hard in a speaker cancels.

Of a difference d with bootstrap standard error s over G clusters,

    z = Phi^-1(T_{G-1}(d / s * sqrt((G-1)/G))),    p = 2 Phi(-|z|),

the t test with the two repairs of `bootstrap.interval` (plug-in variance, t quantile). Where one
question asks about several differences, p is adjusted in two ways. *Holm*: p times the number of
those not yet rejected; holds whatever the dependence. *max-T* (Westfall and Young 1993; step-down as
in Romano and Wolf 2005, JASA 100): how often the largest of the centred, scaled replicates of all
remaining differences reaches |z|; knows that neighbouring layers err together, so it loses less.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from probe_bench.bootstrap import Interval, interval

__all__ = ["Difference", "compare", "holm", "max_t"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A difference of two scores, first less second.

    Attributes:
        interval: Value and 95 % interval of the difference alone.
        p: Two-sided, of this difference alone; None where it could not be measured.
        p_holm: Adjusted for all differences of the question, by Holm.
        p_max_t: The same by max-T.
    """

    interval: Interval
    p: float | None
    p_holm: float | None
    p_max_t: float | None


def compare(
    first: Float[Tensor, "differences rows"],
    second: Float[Tensor, "differences rows"],
    n_clusters: int,
) -> list[Difference]:
    """Test the differences of one question together.

    Args:
        first: Replicates on shared resamples; row 0 is the score itself.
        second: What they are compared with.
        n_clusters: Independent units.
    """
    replicates = first.numpy() - second.numpy()
    z, scaled = _z(replicates, n_clusters)
    p = 2 * stats.norm.cdf(-np.abs(z))
    alone = np.isfinite(p).sum() == 1  # one difference needs no adjustment
    columns = zip(first - second, p, holm(p), p if alone else max_t(z, scaled), strict=True)
    return [
        Difference(
            interval=interval(row, n_clusters),
            p=_number(own),
            p_holm=_number(by_holm),
            p_max_t=_number(by_max),
        )
        for row, own, by_holm, by_max in columns
    ]


def _z(
    replicates: Float[np.ndarray, "differences rows"], n_clusters: int
) -> tuple[Float[np.ndarray, " differences"], Float[np.ndarray, "differences resamples"]]:
    """Standardise differences and their centred replicates; NaN where nothing can be said.

    A difference that no resample changes is certain, unless it is none.
    """
    value, resamples = replicates[:, 0], replicates[:, 1:]
    missing = ~np.isfinite(resamples).any(1) | (n_clusters < 2)
    error = np.full(len(value), np.nan)
    error[~missing] = np.nanstd(resamples[~missing], axis=1)
    same = error <= 1e-12 * np.maximum(np.abs(value), 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(same & (value == 0), 0.0, value / error)
        scaled = np.where(same[:, None], 0.0, np.abs(resamples - value[:, None]) / error[:, None])
    narrowed = t * np.sqrt(max(n_clusters - 1, 0) / n_clusters)
    # By the upper tail on both sides: it keeps its digits where 1 - p would round to 1.
    tail = stats.t.sf(np.abs(narrowed), max(n_clusters - 1, 1))
    return np.sign(t) * stats.norm.isf(tail), scaled


def holm(p: Float[np.ndarray, " differences"]) -> Float[np.ndarray, " differences"]:
    """Adjust p-values of one question (Holm 1979); missing ones stay missing and don't count."""
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def max_t(
    z: Float[np.ndarray, " differences"], scaled: Float[np.ndarray, "differences resamples"]
) -> Float[np.ndarray, " differences"]:
    """Adjust by the largest of the centred, scaled replicates that remain; step-down.

    Args:
        z: Standardised differences.
        scaled: |replicate - difference| / standard error.
    """
    known = np.flatnonzero(~np.isnan(z))
    order = known[np.argsort(-np.abs(z[known]), kind="stable")]
    adjusted = np.full(len(z), np.nan)
    if not len(order):
        return adjusted
    # From the smallest difference up: the largest replicate of this one and all below it.
    largest = np.fmax.accumulate(np.nan_to_num(scaled[order[::-1]]), axis=0)[::-1]
    reached = (largest >= np.abs(z[order, None])).sum(1)
    adjusted[order] = np.maximum.accumulate((1 + reached) / (1 + scaled.shape[1]))
    return adjusted


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
