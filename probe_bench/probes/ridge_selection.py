"""Choose the strength of ridge regression on the training rows alone, in closed form.

The suite's own probes choose on validation data. This is for protocols that prescribe leave-one-out or
K folds, and for data too small to spare a validation part. Features are taken as they are: standardise
them first where the protocol does.

**Leave-one-out.** With the intercept in the model, predictions at strength λ are H t,

    H = 11ᵀ/n + C (CᵀC + n λ I)⁻¹ Cᵀ = 11ᵀ/n + C diag(1 / (n (e + λ))) Cᵀ

in centred principal coordinates C, where CᵀC / n = diag(e). Leaving row i out changes its own
prediction so that the residual grows by 1 / (1 - H_ii) (Sherman-Morrison; Hastie, Tibshirani &
Friedman, The Elements of Statistical Learning, eq. 7.64): one eigendecomposition gives the residuals of
all rows, strengths and targets.

**K folds.** Sums of squares and products of all rows less those of a part are those of the other parts:
K small eigendecompositions, one batch, and no row is read again. Nor is one needed for the errors: with
prediction p = t̄ + Wᵀ(y - δ), where y = x - c and δ, t̄ are means of the rows fitted on, a part has

    Σ (t - p)² = Σ (t - t̄)² - 2 Wᵀ Σ (y - δ)(t - t̄) + Wᵀ [Σ (y - δ)(y - δ)ᵀ] W,

and all three sums follow from its moments.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.probes.axes import spectrum
from probe_bench.probes.blocks import Blocks, as_blocks
from probe_bench.probes.linear import LinearPath
from probe_bench.probes.moments import Moments, coded, measure_moments

__all__ = [
    "RidgeSolution",
    "k_fold_errors",
    "leave_one_out_errors",
    "leave_one_out_residuals",
    "select_ridge",
    "solve_ridge",
]


@dataclass(frozen=True, kw_only=True)
class RidgeSolution:
    """Ridge regressions of several sets of rows at several strengths, all targets.

    Attributes:
        l2: Strengths λ of mean_i ½ (w·x_i + b - t_i)² + (λ / 2) ||w||²; scikit-learn's alpha is λ n.
        count: Rows of each set.
        mean: Mean of the features (float64).
        basis: Principal axes.
        eigenvalues: Variance along each.
        rotated: Weights in the principal axes.
        target_mean: Mean of the targets.
    """

    l2: tuple[float, ...]
    count: Float[Tensor, " sets"]
    mean: Float[Tensor, "sets dim"]
    basis: Float[Tensor, "sets dim dim"]
    eigenvalues: Float[Tensor, "sets dim"]
    rotated: Float[Tensor, "sets strengths dim targets"]
    target_mean: Float[Tensor, "sets targets"]

    def path(self, number: int) -> LinearPath:
        """Return the probes of one set."""
        weight = (self.basis[number] @ self.rotated[number]).mT
        intercept = self.target_mean[number] - weight @ self.mean[number]
        return LinearPath(l2=self.l2, weight=weight, intercept=intercept)


def solve_ridge(moments: Sequence[Moments], l2: Sequence[float]) -> list[RidgeSolution]:
    """Solve every set of every layer, one batched eigendecomposition for all.

    Args:
        moments: Of the same number of sets, one a layer, all of one width.
        l2: Strengths, positive.

    Returns:
        The exact minimisers, by layer.
    """
    strengths = torch.tensor(list(l2), dtype=torch.float64, device=moments[0].gram.device)
    delta = [m.total / m.count[:, None] for m in moments]
    covariance = torch.stack(
        [
            m.gram / m.count[:, None, None] - d[:, :, None] * d[:, None, :]
            for m, d in zip(moments, delta, strict=True)
        ]
    )
    solutions = []
    for m, d, e, basis in zip(moments, delta, *spectrum(covariance), strict=True):
        target_mean = m.target / m.count[:, None]
        cross = (m.cross - m.total[:, :, None] * target_mean[:, None, :]) / m.count[:, None, None]
        shrink = 1 / (e[:, None, :] + strengths[:, None])
        solutions.append(
            RidgeSolution(
                l2=tuple(l2),
                count=m.count,
                mean=m.shift + d,
                basis=basis,
                eigenvalues=e,
                rotated=shrink[..., None] * (basis.mT @ cross)[:, None],
                target_mean=target_mean,
            )
        )
    return solutions


def k_fold_errors(
    parts: Sequence[Moments], l2: Sequence[float]
) -> list[Float[Tensor, "folds strengths targets"]]:
    """Return the summed squared error of each part when the ridge is fitted on all others.

    Args:
        parts: Moments of the parts (one set a fold), one a layer, all of one width.
        l2: Strengths, positive.

    Returns:
        Summed squared errors on each held-out part, by layer.
    """
    others = ~torch.eye(len(parts[0].count), dtype=torch.bool)
    solved = solve_ridge([part.united(others) for part in parts], l2)
    return [_held_out(part, one) for part, one in zip(parts, solved, strict=True)]


def _held_out(part: Moments, solved: RidgeSolution) -> Float[Tensor, "folds strengths targets"]:
    """Squared errors of each set of `part` by the solution of the same number (see above)."""
    delta, mean = solved.mean - part.shift, solved.target_mean
    n = part.count[:, None, None]
    outer = delta[:, :, None] * part.total[:, None, :]
    spread = part.gram - outer - outer.mT + n * delta[:, :, None] * delta[:, None, :]
    missed = part.target - part.count[:, None] * mean  # Σ (t - t̄)
    cross = (
        part.cross
        - part.total[:, :, None] * mean[:, None, :]
        - delta[:, :, None] * missed[:, None, :]
    )
    square = part.square - 2 * mean * part.target + part.count[:, None] * mean.square()
    rotated = solved.rotated
    turned = solved.basis.mT @ spread @ solved.basis
    explained = (rotated * (solved.basis.mT @ cross)[:, None]).sum(2)
    return square[:, None] - 2 * explained + (rotated * (turned[:, None] @ rotated)).sum(2)


def leave_one_out_residuals(
    coordinates: Float[Tensor, "rows rank"],
    centred: Float[Tensor, "rows targets"],
    eigenvalues: Float[Tensor, " rank"],
    rotated: Float[Tensor, "strengths rank targets"],
    l2: Float[Tensor, " strengths"],
    count: int,
) -> Float[Tensor, "strengths rows targets"]:
    """Residual of each row by the ridge that was fitted on all others.

    Args:
        coordinates: Some rows in the principal axes of all (float64).
        centred: Their targets less the mean of all.
        eigenvalues: Variance along the axes.
        rotated: Weights in the axes, fitted on all rows.
        l2: Strengths.
        count: Number of all rows.
    """
    shrink = 1 / (eigenvalues + l2[:, None])
    leverage = 1 / count + shrink @ coordinates.square().T / count
    return (centred - coordinates @ rotated) / (1 - leverage)[:, :, None]


def leave_one_out_errors(
    x: Float[Tensor, "rows dim"] | Blocks, targets: Tensor, n_targets: int, l2: Sequence[float]
) -> tuple[Float[Tensor, "strengths targets"], RidgeSolution]:
    """Return mean squared leave-one-out errors, and the ridge fitted on all rows.

    Features are read twice, block by block.

    Args:
        x: Features.
        targets: Class index of each row (one-hot, 0/1), or real targets `rows targets`.
        n_targets: Number of classes or targets.
        l2: Strengths, positive.
    """
    blocks = as_blocks(x)
    one_set = torch.zeros(blocks.shape[0], dtype=torch.long)
    (solved,) = solve_ridge([measure_moments(blocks, one_set, 1, targets, n_targets)], l2)
    strengths = torch.tensor(list(l2), dtype=torch.float64, device=blocks.device)
    total = solved.rotated.new_zeros(len(strengths), n_targets)
    for places, block in blocks:
        t = coded(targets[places].to(block.device), n_targets)
        residuals = leave_one_out_residuals(
            (block.double() - solved.mean[0]) @ solved.basis[0],
            t - solved.target_mean[0],
            solved.eigenvalues[0],
            solved.rotated[0],
            strengths,
            int(solved.count[0]),
        )
        total += residuals.square().sum(1)
    return total / blocks.shape[0], solved


def select_ridge(
    x: Float[Tensor, "rows dim"] | Blocks, targets: Tensor, n_targets: int, l2: Sequence[float]
) -> LinearPath:
    """Fit ridge regression at the strength with the least leave-one-out error, summed over targets.

    Arguments are those of `leave_one_out_errors`.
    """
    errors, solved = leave_one_out_errors(x, targets, n_targets, l2)
    return solved.path(0).at(int(errors.sum(1).argmin()))
