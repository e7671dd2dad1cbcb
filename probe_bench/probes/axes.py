"""Principal axes of training features: one eigendecomposition that every convex probe shares."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probe_bench.probes.moments import Moments, coded
from probe_bench.probes.standardise import Standardiser, fit_standardiser, standardiser_of

__all__ = [
    "Axes",
    "FoldAxes",
    "axes_of_moments",
    "axes_of_rows",
    "principal_axes",
    "spectrum",
]

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


@dataclass(frozen=True, kw_only=True)
class FoldAxes:
    """Principal axes of the standardised features that one fold trains on, without the features.

    Attributes:
        standardiser: Fitted on the fold's rows.
        mean: Mean of the raw features (float64).
        basis: Orthonormal axes of the standardised features, centred exactly.
        eigenvalues: Variance along each axis, ascending.
        count: Number of rows.
        cross: Mean of standardised features times targets, both centred.
        target_mean: Mean of the targets: the share of each class.
    """

    standardiser: Standardiser
    mean: Float[Tensor, " dim"]
    basis: Float[Tensor, "dim rank"]
    eigenvalues: Float[Tensor, " rank"]
    count: int
    cross: Float[Tensor, "dim targets"]
    target_mean: Float[Tensor, " targets"]

    @property
    def scale(self) -> Float[Tensor, " dim"]:
        """What features are multiplied by (float64)."""
        return self.standardiser.scale.double()

    @property
    def offset(self) -> Float[Tensor, " dim"]:
        """Mean of the standardised features: what float32 keeps of the mean, not quite zero."""
        return self.scale * (self.mean - self.standardiser.mean.double())


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
    eigenvalues, basis = spectrum(_gram(x, mean))
    shift = (mean @ basis).float()
    return Axes(
        mean=mean,
        basis=basis,
        eigenvalues=eigenvalues,
        coordinates=x.float() @ basis.float() - shift,
    )


def spectrum(
    covariance: Float[Tensor, "*batch dim dim"],
) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch dim dim"]]:
    """Return eigenvalues (ascending, none negative) and eigenvectors of covariances, in one batch."""
    eigenvalues, basis = torch.linalg.eigh(covariance)
    return eigenvalues.clamp(min=0), basis


def axes_of_moments(layers: Sequence[Moments]) -> list[list[FoldAxes]]:
    """Find the axes of every set of every layer from its moments, all in one batch.

    Args:
        layers: Moments of the same sets in layers of one width.

    Returns:
        The axes of each set, by layer.
    """
    parts = [_covariances(moments) for moments in layers]
    eigenvalues, basis = spectrum(torch.stack([covariance for *_, covariance in parts]))
    return [
        [
            _fold_axes(
                moments, k, mean[k], standardisers[k], eigenvalues[layer, k], basis[layer, k]
            )
            for k in range(len(mean))
        ]
        for layer, (moments, (mean, standardisers, _)) in enumerate(zip(layers, parts, strict=True))
    ]


def _covariances(
    moments: Moments,
) -> tuple[Float[Tensor, "sets dim"], list[Standardiser], Float[Tensor, "sets dim dim"]]:
    """Return means, standardisers and covariances of standardised features.

    With sums about a shift c: mean = c + δ, δ = Σ(x - c) / n, and
    cov = Σ(x - c)(x - c)ᵀ / n - δδᵀ; standardised features have S cov S, S = diag(scale).
    """
    count = moments.count[:, None]
    delta = moments.total / count
    mean = moments.shift + delta
    covariance = moments.gram / count[:, :, None] - delta[:, :, None] * delta[:, None, :]
    std = covariance.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    standardisers = [standardiser_of(*one) for one in zip(mean, std, moments.largest, strict=True)]
    scale = torch.stack([s.scale.double() for s in standardisers])
    covariance *= scale[:, :, None]
    covariance *= scale[:, None, :]
    return mean, standardisers, covariance


def _fold_axes(
    moments: Moments,
    k: int,
    mean: Float[Tensor, " dim"],
    standardiser: Standardiser,
    eigenvalues: Float[Tensor, " dim"],
    basis: Float[Tensor, "dim dim"],
) -> FoldAxes:
    """Put one set's axes together; those without variance are dropped.

    Σ(x - mean)(t - mean(t))ᵀ = Σ(x - c) tᵀ - n δ mean(t)ᵀ.
    """
    keep = eigenvalues > _RANK_TOLERANCE * eigenvalues[-1]
    count, target_mean = moments.count[k], moments.target[k] / moments.count[k]
    cross = (moments.cross[k] - torch.outer(moments.total[k], target_mean)) / count
    return FoldAxes(
        standardiser=standardiser,
        mean=mean,
        basis=basis[:, keep],
        eigenvalues=eigenvalues[keep],
        count=int(count),
        cross=standardiser.scale.double()[:, None] * cross,
        target_mean=target_mean,
    )


def axes_of_rows(
    x: Float[Tensor, "rows dim"],
    members: Bool[Tensor, "sets rows"],
    targets: Tensor,
    n_targets: int,
) -> list[FoldAxes]:
    """Find the axes of sets of few rows (fewer than dimensions) from the rows themselves.

    Args:
        x: Features, on their device.
        members: Rows of each set.
        targets: Class index of each row, or `rows targets`.
        n_targets: Number of classes or targets.
    """
    t = coded(targets.to(x.device), n_targets)
    return [_axes_of_few(x[inside], t[inside]) for inside in members.to(x.device)]


def _axes_of_few(x: Float[Tensor, "rows dim"], t: Float[Tensor, "rows targets"]) -> FoldAxes:
    standardiser, mean = fit_standardiser(x), x.double().mean(0)
    centred = (x.double() - mean) * standardiser.scale.double()
    eigenvalues, basis = _span(centred)
    target_mean = t.mean(0)
    return FoldAxes(
        standardiser=standardiser,
        mean=mean,
        basis=basis,
        eigenvalues=eigenvalues,
        count=len(x),
        cross=centred.T @ (t - target_mean) / len(x),
        target_mean=target_mean,
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
