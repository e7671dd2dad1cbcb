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

from probe_bench.probes.axes import Axes
from probe_bench.probes.linear import LinearPath

__all__ = ["fit_ridge", "signed_targets"]


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
    n = len(x)
    offset = targets.double().mean(0)
    centred = targets.double() - offset
    # basisᵀ Xᵀ T: centred targets are orthogonal to the mean of X, so X need not be centred.
    moments = axes.basis.T @ _cross(x, centred) / n
    strengths = torch.tensor(list(l2), dtype=torch.float64, device=x.device)
    shrunk = moments / (axes.eigenvalues[None, :, None] + strengths[:, None, None])
    weight = (axes.basis @ shrunk).movedim(-1, -2)
    return LinearPath(l2=tuple(l2), weight=weight, intercept=offset - weight @ axes.mean)


def _cross(
    x: Float[Tensor, "samples dim"], targets: Float[Tensor, "samples targets"], block: int = 4096
) -> Float[Tensor, "dim targets"]:
    parts = zip(torch.split(x, block), torch.split(targets, block), strict=True)
    return torch.stack([part.double().T @ target for part, target in parts]).sum(0)
