"""SVCCA and PWCCA between two layers, fitted on one half of the speakers and measured on the other.

Canonical correlation finds the directions of two layers that correlate most. Fitted and measured on
the same N frames, unrelated layers of D dimensions correlate by about √(D / N), which only N ≫ D
makes small; so directions come from one half of the independent units, correlations from the other,
then the other way round. Fewer than ten frames a dimension are refused all the same.

*SVCCA* (Raghu et al. 2017, arXiv 1706.05806): keep the principal components that hold 99 % of the
variance of each layer, and average the canonical correlations.
*PWCCA* (Morcos et al. 2018, arXiv 1806.05759, eqs. 3-4): weigh them by how much of the first layer
each canonical direction h_k accounts for, α_k = Σ_j |⟨h_k, x_j⟩| over the layer's dimensions x_j. It
is not symmetric.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Canonical", "Reduced", "canonical", "reduce"]

_SHARE = 0.99
_FRAMES_PER_DIM = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduced:
    """Whitened principal components of one layer, as one half of the frames has them.

    Attributes:
        fit: Coordinates of the frames that they come from: unit variance, uncorrelated.
        test: Coordinates of the other frames.
        loadings: Covariance of the layer's dimensions with the coordinates.
    """

    fit: Float[Tensor, "fit kept"]
    test: Float[Tensor, "test kept"]
    loadings: Float[Tensor, "dim kept"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Canonical:
    """Similarity of two layers; None with a reason where there is none."""

    svcca: float | None = None
    pwcca: float | None = None
    reason: str = ""


def reduce(
    x: Float[Tensor, "frames dim"],
    fit: Bool[Tensor, " frames"],
    scatter: Float[Tensor, "dim dim"],
    share: float = _SHARE,
) -> Reduced:
    """Project frames onto the whitened principal components of some of them.

    Args:
        x: Frames.
        fit: Which of them the components come from.
        scatter: Σ (x - mean)(x - mean)ᵀ over those.
        share: Of their variance that is kept; 1 keeps all but rounding errors.
    """
    fit = fit.to(x.device)
    values, vectors = torch.linalg.eigh(scatter / fit.sum())
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    before = values.cumsum(0) - values
    kept = (before < share * values.sum()) & (values > 1e-10 * values[0])
    values, vectors = values[kept], vectors[:, kept]
    coordinates = (x - x[fit].mean(0)) @ (vectors / values.sqrt()).to(x)
    return Reduced(
        fit=coordinates[fit],
        test=coordinates[~fit],
        loadings=vectors * values.sqrt(),
    )


def canonical(x: Sequence[Reduced], y: Sequence[Reduced]) -> Canonical:
    """Compare two layers, fitted on each half in turn.

    Args:
        x: The layer, fitted on the first and on the second half.
        y: The other layer at the same moments.
    """
    n = min(len(half.fit) for half in x)
    dims = max(a.fit.shape[1] + b.fit.shape[1] for a, b in zip(x, y, strict=True))
    if not all(half.fit.shape[1] for half in (*x, *y)):
        return Canonical(reason="the features are constant")
    if n < _FRAMES_PER_DIM * dims:
        return Canonical(
            reason=f"{n} frames to fit {dims} dimensions on, at least {_FRAMES_PER_DIM * dims} "
            "are needed, use more audio"
        )
    means = torch.stack([_means(a, b) for a, b in zip(x, y, strict=True)]).mean(0)
    return Canonical(svcca=float(means[0]), pwcca=float(means[1]))


def _means(x: Reduced, y: Reduced) -> Float[Tensor, " 2"]:
    """Plain and projection-weighted mean of the correlations on the held-out half."""
    u, _, vh = torch.linalg.svd((x.fit.T @ y.fit).double(), full_matrices=False)
    rho = _correlations(x.test @ u.to(x.test), y.test @ vh.T.to(y.test))
    # h_k = x u_k has unit norm up to a constant, so ⟨h_k, x_j⟩ is the loading of dimension j on u_k.
    weights = (x.loadings @ u).abs().sum(0)
    return torch.stack([rho.mean(), (weights * rho).sum() / weights.sum()])


def _correlations(
    a: Float[Tensor, "frames dim"], b: Float[Tensor, "frames dim"]
) -> Float[Tensor, " dim"]:
    """Correlation of every column of one table with the same column of the other."""
    a, b = a - a.mean(0), b - b.mean(0)
    found: Tensor = (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0))
    return found.double()
