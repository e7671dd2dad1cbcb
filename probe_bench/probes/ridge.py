"""Ridge classifier in closed form, all strengths from one eigendecomposition.

Objective, per class k with targets t = ±1 and an unpenalised intercept:

    mean_i ½ (w·x_i + b - t_i)² + (l2 / 2) ||w||²,

which is scikit-learn's `RidgeClassifier(alpha=l2 * n)`. In the principal axes the normal equations
are diagonal: V ᵀw = (Vᵀ Xᵀ t / n) / (e + l2), and b = mean(t) on centred features.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.axes import Axes, FoldAxes
from probe_bench.probes.linear import LinearPath

__all__ = ["fit_ridge", "ridge_path", "signed_path", "signed_targets"]


def signed_targets(
    classes: Int[Tensor, " samples"], n_classes: int
) -> Float[Tensor, "samples classes"]:
    """Return one-hot targets coded +1 / -1."""
    return torch.nn.functional.one_hot(classes, n_classes).double() * 2 - 1


def fit_ridge(
    axes: Axes,
    x: Float[Tensor, "samples dim"],
    targets: Float[Tensor, "samples targets"],
    l2: Sequence[float],
) -> LinearPath:
    """Fit all strengths and targets at once.

    Args:
        axes: Principal axes of `x`.
        x: Training features.
        targets: Real targets, e.g. from `signed_targets`.
        l2: Strengths, positive.

    Returns:
        The exact minimisers.
    """
    offset = targets.double().mean(0)
    centred = targets.double() - offset
    # Centred targets are orthogonal to the mean of X, so X need not be centred.
    cross = _cross(x, centred) / len(x)
    return _path(axes.basis, axes.eigenvalues, cross, axes.mean, offset, l2)


def ridge_path(axes: FoldAxes, l2: Sequence[float]) -> LinearPath:
    """Fit all strengths on the targets that the moments of the axes were taken with.

    Args:
        axes: Of the training features; the features themselves are not needed.
        l2: Strengths, positive.

    Returns:
        The exact minimisers, in the coordinates of the standardised features.
    """
    return _path(axes.basis, axes.eigenvalues, axes.cross, axes.offset, axes.target_mean, l2)


def signed_path(axes: FoldAxes, l2: Sequence[float]) -> LinearPath:
    """Fit as `ridge_path`, with 0/1 targets y taken as ±1: t = 2 y - 1 doubles weights, b = 2 b' - 1."""
    path = ridge_path(axes, l2)
    return LinearPath(l2=path.l2, weight=2 * path.weight, intercept=2 * path.intercept - 1)


def _path(
    basis: Float[Tensor, "dim rank"],
    eigenvalues: Float[Tensor, " rank"],
    cross: Float[Tensor, "dim targets"],
    mean: Float[Tensor, " dim"],
    target_mean: Float[Tensor, " targets"],
    l2: Sequence[float],
) -> LinearPath:
    strengths = torch.tensor(list(l2), dtype=torch.float64, device=basis.device)
    shrunk = (basis.T @ cross) / (eigenvalues[None, :, None] + strengths[:, None, None])
    weight = (basis @ shrunk).movedim(-1, -2)
    return LinearPath(l2=tuple(l2), weight=weight, intercept=target_mean - weight @ mean)


def _cross(
    x: Float[Tensor, "samples dim"], targets: Float[Tensor, "samples targets"], block: int = 4096
) -> Float[Tensor, "dim targets"]:
    parts = zip(torch.split(x, block), torch.split(targets, block), strict=True)
    return torch.stack([part.double().T @ target for part, target in parts]).sum(0)
