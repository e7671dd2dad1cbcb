"""Principal axes of a design: one eigendecomposition that every convex probe of a layer shares."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Axes", "principal_axes"]

_RANK_TOLERANCE = 1e-11  # eigenvalues below this share of the largest are rounding


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Centred features in their own principal axes.

    With centred features X (n x d) and Gram XᵀX / n = V diag(e) Vᵀ, a penalty ||W||² is the same
    in the coordinates XV, where the Gram is diagonal. Weights outside the span of X only add to
    the penalty, so with fewer samples than dimensions the min(n, d) axes of the span are exact.

    Attributes:
        mean: Mean that was taken out.
        basis: V, orthonormal columns (float64).
        eigenvalues: e, variance along each axis (float64), ascending.
        coordinates: XV (float32).
    """

    mean: Float[Tensor, " dim"]
    basis: Float[Tensor, "dim rank"]
    eigenvalues: Float[Tensor, " rank"]
    coordinates: Float[Tensor, "samples rank"]


def principal_axes(x: Float[Tensor, "samples dim"]) -> Axes:
    """Return the principal axes of `x`; Gram and eigenvectors in float64."""
    mean = x.double().mean(0)
    n, dim = x.shape
    if n < dim:
        centred = x.double() - mean
        eigenvalues, basis = _span(centred)
        return Axes(
            mean=mean,
            basis=basis,
            eigenvalues=eigenvalues,
            coordinates=(centred @ basis).float(),
        )
    eigenvalues, basis = torch.linalg.eigh(_gram(x, mean))
    shift = (mean @ basis).float()
    return Axes(
        mean=mean,
        basis=basis,
        eigenvalues=eigenvalues.clamp(min=0),
        coordinates=x.float() @ basis.float() - shift,
    )


def _gram(
    x: Float[Tensor, "samples dim"], mean: Float[Tensor, " dim"], block: int = 4096
) -> Float[Tensor, "dim dim"]:
    total = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for part in torch.split(x, block):
        centred = part.double() - mean
        total.addmm_(centred.T, centred)
    return total / len(x)


def _span(
    centred: Float[Tensor, "samples dim"],
) -> tuple[Float[Tensor, " rank"], Float[Tensor, "dim rank"]]:
    """Axes of the span from the small Gram: X Xᵀ = U s² Uᵀ gives V = Xᵀ U / s."""
    squares, left = torch.linalg.eigh(centred @ centred.T)
    keep = squares > _RANK_TOLERANCE * squares[-1].clamp(min=torch.finfo(torch.float64).tiny)
    squares, left = squares[keep], left[:, keep]
    return squares / len(centred), centred.T @ left / squares.sqrt()
