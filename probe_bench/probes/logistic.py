"""Logistic regression at its optimum, for all layers and strengths in one batched solve.

Objective, per problem:

    mean_i loss(W x_i + b, y_i) + (l2 / 2) ||W||²,   intercept b not penalised;

scikit-learn's `C` is 1 / (l2 * n). `fit_softmax` is multinomial, `fit_one_vs_rest` fits one
independent sigmoid a class (multi-label).

Method: batched L-BFGS (`lbfgs`) with a Kronecker preconditioner. The Hessian is

    H = mean_i Λ_i ⊗ x_i x_iᵀ + l2 I,   Λ_i = diag(p_i) - p_i p_iᵀ  (sigmoid: p_i (1 - p_i)),

and is replaced by mean_i(Λ_i) ⊗ mean_i(x_i x_iᵀ) + l2 I. At W = 0, where every p_i is the class
prior, this is exact; elsewhere it keeps the two averages and loses their correlation. In the
principal axes of x (one eigendecomposition a layer, shared by all strengths) and of Λ (K x K, made
anew at each strength, about half a pass over the data) it is diagonal. Against the bound of Boehning
(1992), Λ_i <= I / 2, it knows class frequencies and how sure the classifier already is; on
phone-like features it needs about a fifth of the passes.

Strengths run from strong to weak, each starting from the one before; layers and classes are the
batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.axes import Axes
from probe_bench.probes.designs import Objective, make_design
from probe_bench.probes.lbfgs import minimise
from probe_bench.probes.linear import LinearPath
from probe_bench.probes.losses import Sigmoid, Softmax

__all__ = ["LogisticPath", "fit_one_vs_rest", "fit_softmax"]


@dataclass(frozen=True, kw_only=True)
class LogisticPath(LinearPath):
    """Logistic probes of one layer, with the record of their solve.

    Attributes:
        passes: Reads of the training data (value and gradient) by the slowest class.
        gap: Estimated relative distance of the objective to its optimum, largest over classes.
    """

    passes: tuple[int, ...]
    gap: tuple[float, ...]


def fit_softmax(
    axes: Sequence[Axes],
    classes: Sequence[Int[Tensor, " _"]],
    n_classes: int,
    l2: Sequence[float],
    *,
    tolerance: float = 3e-8,
) -> list[LogisticPath]:
    """Fit multinomial logistic regression for every layer and strength.

    Args:
        axes: Principal axes of each layer's (or fold's) training features; ranks may differ.
        classes: Class index of each training sample, per layer; every class must occur.
        n_classes: Number of classes.
        l2: Strengths, positive.
        tolerance: Relative objective gap at which a problem stops (estimated from the
            curvature seen so far; true gaps stay within about ten times of it).

    Returns:
        One path a layer, strengths as given.
    """
    width = 1 + max(a.coordinates.shape[1] for a in axes)
    designs = [make_design(a, c, width) for a, c in zip(axes, classes, strict=True)]
    objective = Objective(designs=designs, loss=Softmax(), per_design=1)
    prior = [torch.bincount(c, minlength=n_classes).double() / len(c) for c in classes]
    logits = torch.stack(prior).log()
    start = torch.zeros(len(axes), n_classes, width, dtype=torch.float64, device=logits.device)
    start[..., -1] = logits - logits.mean(1, keepdim=True)
    return _fit(objective, axes, start, l2, tolerance)


def fit_one_vs_rest(
    axes: Sequence[Axes],
    targets: Sequence[Float[Tensor, "_ classes"]],
    l2: Sequence[float],
    *,
    tolerance: float = 3e-8,
) -> list[LogisticPath]:
    """Fit one independent logistic regression a class, for every layer and strength.

    Args:
        axes: Principal axes of each layer's training features.
        targets: 0/1 membership; every class needs a sample with and one without it.
        l2: Strengths, positive.
        tolerance: As in `fit_softmax`.
    """
    n_classes = targets[0].shape[1]
    width = 1 + max(a.coordinates.shape[1] for a in axes)
    designs = [
        make_design(a, t.float().T.contiguous(), width) for a, t in zip(axes, targets, strict=True)
    ]
    objective = Objective(designs=designs, loss=Sigmoid(), per_design=n_classes)
    prior = torch.stack([t.double().mean(0) for t in targets])
    start = prior.new_zeros(len(axes) * n_classes, 1, width)
    start[:, 0, -1] = prior.logit().flatten()
    return _fit(objective, axes, start, l2, tolerance)


def _fit(
    objective: Objective,
    axes: Sequence[Axes],
    start: Float[Tensor, "problems rows width"],
    l2: Sequence[float],
    tolerance: float,
) -> list[LogisticPath]:
    """Solve from the strongest strength to the weakest and undo the change of axes."""
    solved: dict[float, tuple[Tensor, Tensor, Tensor]] = {}
    point = start
    for strength in sorted(set(l2), reverse=True):

        def oracle(
            ids: Int[Tensor, " active"], weights: Tensor, strength: float = strength
        ) -> tuple[Tensor, Tensor]:
            return objective.value_and_gradient(ids, weights, strength)

        precondition = _kronecker(objective, point, strength)
        minimum = minimise(oracle, precondition, point, tolerance=tolerance)
        point = minimum.point
        solved[strength] = (point, minimum.passes, minimum.gap)
    points, passes, gaps = (
        torch.stack([solved[strength][part] for strength in l2]) for part in range(3)
    )
    n_layers = len(axes)
    # strengths problems rows width -> layers strengths classes width
    weights = points.reshape(len(l2), n_layers, -1, points.shape[-1]).movedim(1, 0)
    most = passes.view(len(l2), n_layers, -1).amax(2).T.tolist()
    worst = gaps.view(len(l2), n_layers, -1).amax(2).T.tolist()
    return [_path(layer, weights[i], l2, most[i], worst[i]) for i, layer in enumerate(axes)]


def _path(
    axes: Axes,
    rotated: Float[Tensor, "strengths classes width"],
    l2: Sequence[float],
    passes: list[int],
    gap: list[float],
) -> LogisticPath:
    weight = rotated[..., : axes.basis.shape[1]] @ axes.basis.T
    return LogisticPath(
        l2=tuple(l2),
        weight=weight,
        intercept=rotated[..., -1] - weight @ axes.mean,
        passes=tuple(passes),
        gap=tuple(gap),
    )


def _kronecker(
    objective: Objective, point: Float[Tensor, "problems rows width"], l2: float
) -> Callable[[Int[Tensor, " active"], Tensor], Tensor]:
    """Return the inverse of mean(Λ) ⊗ diag(variance) + l2 I (intercept: no l2)."""
    spread, modes = torch.linalg.eigh(objective.class_curvature(point))
    variance = torch.stack([design.variance for design in objective.designs])
    variance = variance.repeat_interleave(objective.per_design, 0)
    scale = spread.clamp(min=0).unsqueeze(2) * variance.unsqueeze(1)
    scale[..., :-1] += l2
    # Softmax scores may all move together: that mode has no curvature and no gradient either.
    scale = scale.clamp(min=1e-9 * scale.amax((1, 2), keepdim=True))

    def apply(ids: Int[Tensor, " active"], gradient: Tensor) -> Tensor:
        basis = modes[ids]
        solved: Tensor = basis @ (basis.mT @ gradient / scale[ids])
        return solved

    return apply
