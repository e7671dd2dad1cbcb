"""First and second moments of paired rows per fold, and the readouts that follow from them.

Moments add up: those of a training set are the sum over all folds less the held-out one. So one pass
over the frames serves every fold, and principal components as well as weights are those of the
training folds alone.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.modulation.products import gram

__all__ = ["CrossFit", "Moments", "cross_fit", "fold_moments", "principal_axes", "whitening"]

_MIN_VARIANCE = 1e-4  # of the fourth largest: up to three massive dimensions cannot hide the rest
_MASSIVE = 3
_ROUNDING = 1e-10  # of the largest: below this a component of float32 features is rounding error


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Sums over the rows of each fold, in float64."""

    n: Float[Tensor, " folds"]
    x: Float[Tensor, "folds dim"]
    y: Float[Tensor, "folds bands"]
    xx: Float[Tensor, "folds dim dim"]
    xy: Float[Tensor, "folds dim bands"]
    yy: Float[Tensor, "folds bands bands"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossFit:
    """One readout per held-out fold, fitted on the others.

    Attributes:
        x_mean: Mean of the training tokens.
        whiten: From centred tokens to their whitened principal components.
        to_bands: From those to centred bands.
        weights: From centred tokens to reference components.
        y_mean: Mean of the training reference.
        axes: From centred bands to unit-variance reference components.
    """

    x_mean: Float[Tensor, "folds dim"]
    whiten: Float[Tensor, "folds dim dims"]
    to_bands: Float[Tensor, "folds dims bands"]
    weights: Float[Tensor, "folds dim components"]
    y_mean: Float[Tensor, "folds bands"]
    axes: Float[Tensor, "folds bands components"]


def fold_moments(
    x: Float[Tensor, "rows dim"],
    y: Float[Tensor, "rows bands"],
    fold: Int[Tensor, " rows"],
    n_folds: int,
) -> Moments:
    """Sum products of paired rows over each fold."""
    parts = [(x[fold == k].double(), y[fold == k].double()) for k in range(n_folds)]
    return Moments(
        n=torch.tensor([len(a) for a, _ in parts], dtype=torch.float64, device=x.device),
        x=torch.stack([a.sum(0) for a, _ in parts]),
        y=torch.stack([b.sum(0) for _, b in parts]),
        xx=torch.stack([gram(a) for a, _ in parts]),
        xy=torch.stack([a.T @ b for a, b in parts]),
        yy=torch.stack([b.T @ b for _, b in parts]),
    )


def principal_axes(
    covariance: Float[Tensor, "*folds dim dim"], most: int
) -> Float[Tensor, "*folds dim components"]:
    """Return the axes that whiten the largest principal components; see `whitening`."""
    variance, axes = torch.linalg.eigh(covariance)
    return whitening(variance, axes, most)


def whitening(
    variance: Float[Tensor, "*folds dim"], axes: Float[Tensor, "*folds dim dim"], most: int
) -> Float[Tensor, "*folds dim components"]:
    """Scale the largest principal axes to unit variance; unused columns are zero.

    Kept are at most `most` components with at least 1e-4 of the variance of the fourth largest, so
    that rotation and scale of the features change nothing, dead dimensions drop out, and a few
    massive ones do not push the others below the threshold.

    Args:
        variance: Of the principal components, the smallest first.
        axes: Their axes, in columns.
        most: Components kept at most.
    """
    variance, axes = variance.flip(-1)[..., :most], axes.flip(-1)[..., :most]
    typical = variance[..., min(_MASSIVE, variance.shape[-1] - 1), None]
    floor = torch.maximum(_MIN_VARIANCE * typical, _ROUNDING * variance[..., :1])
    scale = torch.where(variance > floor, variance.clamp(min=1e-300).rsqrt(), 0.0)
    return axes * scale[..., None, :]


def cross_fit(moments: Moments, *, dims: int, components: int, ridge: float) -> CrossFit:
    """Fit one ridge readout of the reference's components for every held-out fold.

    Args:
        moments: Sums over each fold.
        dims: Most principal components of the tokens.
        components: Principal components of the reference.
        ridge: Penalty relative to the mean variance of the whitened tokens.
    """
    n = moments.n.sum() - moments.n
    x_mean = (moments.x.sum(0) - moments.x) / n[:, None]
    y_mean = (moments.y.sum(0) - moments.y) / n[:, None]
    xx = (moments.xx.sum(0) - moments.xx) / n[:, None, None] - x_mean[:, :, None] * x_mean[:, None]
    xy = (moments.xy.sum(0) - moments.xy) / n[:, None, None] - x_mean[:, :, None] * y_mean[:, None]
    yy = (moments.yy.sum(0) - moments.yy) / n[:, None, None] - y_mean[:, :, None] * y_mean[:, None]
    whiten, axes = principal_axes(xx, dims), principal_axes(yy, components)
    # The Gram matrix of whitened tokens is the identity, so the ridge solution needs no solve:
    # W = A (I + ridge I)^-1 A' C_xy B.
    to_bands = whiten.mT @ xy / (1 + ridge)
    return CrossFit(
        x_mean=x_mean,
        whiten=whiten,
        to_bands=to_bands,
        weights=whiten @ (to_bands @ axes),
        y_mean=y_mean,
        axes=axes,
    )
