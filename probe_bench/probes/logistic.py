"""Logistic regression at its optimum, for all layers, folds and strengths in one batched solve.

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

Layers, folds and classes are the batch; strengths run from strong to weak, each starting from the one
before (here, or in `search`, which solves to the end only the strength that validates best).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.axes import Axes
from probe_bench.probes.designs import Design, Objective, make_design
from probe_bench.probes.lbfgs import Minimum, minimise
from probe_bench.probes.linear import LinearPath
from probe_bench.probes.losses import Sigmoid, Softmax

__all__ = [
    "UNTAUGHT",
    "LogisticPath",
    "LogisticProblems",
    "fit_one_vs_rest",
    "fit_softmax",
    "one_vs_rest_problems",
    "softmax_problems",
]

_TOLERANCE = 3e-8
"""Relative objective gap at which a problem stops, estimated from the curvature seen so far; true
gaps stay within about ten times of it."""

UNTAUGHT = 1e4
"""Logit of a class that training never (-) or always (+) shows: its loss and gradient are exactly 0
in float32, so it takes no part in the solve, and folds that know different classes can be stacked."""


@dataclass(frozen=True, kw_only=True)
class LogisticPath(LinearPath):
    """Logistic probes of one case, with the record of their solve.

    Attributes:
        passes: Reads of the training data (value and gradient) by the slowest class.
        gap: Estimated relative distance of the objective to its optimum, largest over classes.
    """

    passes: tuple[int, ...]
    gap: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class LogisticProblems:
    """Logistic regressions of several cases (layer and fold), before any strength is set.

    A case is one problem (softmax) or one a class (one-vs-rest); points are in principal axes.

    Attributes:
        objective: Products of all problems with their features.
        start: Zero weights, intercepts at the class priors (float64).
    """

    objective: Objective
    start: Float[Tensor, "cases problems rows width"]

    def solve(
        self,
        cases: Sequence[int],
        start: Float[Tensor, "cases problems rows width"],
        l2: Sequence[float],
        tolerance: float,
    ) -> Minimum:
        """Solve some cases, each from its own start and at its own strength.

        Args:
            cases: Ascending.
            start: One a case named.
            l2: One a case named.
            tolerance: Relative objective gap at which a problem stops.

        Returns:
            Minima, `cases problems` first.
        """
        device, per_case = start.device, start.shape[1]
        first = per_case * torch.tensor(cases, device=device)
        ids = (first[:, None] + torch.arange(per_case, device=device)).flatten()
        strengths = torch.tensor(list(l2), dtype=torch.float64, device=device)
        strengths = strengths.repeat_interleave(per_case)
        flat = start.flatten(0, 1)
        found = minimise(
            lambda active, at: self.objective.value_and_gradient(
                ids[active], at, strengths[active]
            ),
            _kronecker(self.objective, ids, flat, strengths),
            flat,
            tolerance=tolerance,
        )
        shape = start.shape[:2]
        return Minimum(
            point=found.point.view_as(start),
            value=found.value.view(shape),
            gap=found.gap.view(shape),
            passes=found.passes.view(shape),
        )

    def probe(
        self, case: int, l2: float, point: Float[Tensor, "problems rows width"]
    ) -> LinearPath:
        """Return the probe of one case and strength in the coordinates of its features."""
        view, rotated = self.objective.view(case), point.flatten(0, 1)
        weight = rotated[:, : view.basis.shape[1]] @ view.basis.T
        intercept = rotated[:, -1] - weight @ view.mean
        return LinearPath(l2=(l2,), weight=weight[None], intercept=intercept[None])


def softmax_problems(designs: Sequence[Design]) -> LogisticProblems:
    """Set up multinomial logistic regression on every fold of every layer.

    Args:
        designs: One a layer, with class indices as targets; ranks may differ. A class that a fold's
            rows do not show keeps a score that never wins there.
    """
    prior = _priors(designs)
    logits = prior.log()
    known = prior > 0
    mean = torch.where(known, logits, 0).sum(1, keepdim=True) / known.sum(1, keepdim=True)
    start = _zeros(designs, 1, prior.shape[1])
    start[:, 0, :, -1] = torch.where(known, logits - mean, -UNTAUGHT)
    objective = Objective(designs=designs, loss=Softmax(), per_case=1)
    return LogisticProblems(objective=objective, start=start)


def one_vs_rest_problems(designs: Sequence[Design]) -> LogisticProblems:
    """Set up one independent logistic regression a class on every fold of every layer.

    Args:
        designs: One a layer, with 0/1 membership as targets; ranks may differ. A class that all or
            none of a fold's rows have keeps a constant score there.
    """
    prior = _priors(designs)
    start = _zeros(designs, prior.shape[1], 1)
    start[:, :, 0, -1] = prior.logit().clamp(-UNTAUGHT, UNTAUGHT)
    objective = Objective(designs=designs, loss=Sigmoid(), per_case=prior.shape[1])
    return LogisticProblems(objective=objective, start=start)


def _priors(designs: Sequence[Design]) -> Float[Tensor, "cases classes"]:
    return torch.stack([view.target_mean for design in designs for view in design.views])


def _zeros(
    designs: Sequence[Design], problems: int, rows: int
) -> Float[Tensor, "cases {problems} {rows} width"]:
    cases, width = sum(len(d.views) for d in designs), 1 + max(d.rank for d in designs)
    return torch.zeros(cases, problems, rows, width, dtype=torch.float64, device=designs[0].device)


def fit_softmax(
    axes: Sequence[Axes],
    classes: Sequence[Int[Tensor, " _"]],
    n_classes: int,
    l2: Sequence[float],
    *,
    tolerance: float = _TOLERANCE,
) -> list[LogisticPath]:
    """Fit multinomial logistic regression for every layer and strength.

    Args:
        axes: Principal axes of each layer's training features; ranks may differ.
        classes: Class index of each training sample, per layer.
        n_classes: Number of classes.
        l2: Strengths, positive.
        tolerance: Relative objective gap at which a problem stops.

    Returns:
        One path a layer, strengths as given.
    """
    designs = [make_design(a, c, n_classes) for a, c in zip(axes, classes, strict=True)]
    return _paths(softmax_problems(designs), l2, tolerance)


def fit_one_vs_rest(
    axes: Sequence[Axes],
    targets: Sequence[Float[Tensor, "_ classes"]],
    l2: Sequence[float],
    *,
    tolerance: float = _TOLERANCE,
) -> list[LogisticPath]:
    """Fit one logistic regression a class for every layer and strength.

    `targets` are 0/1 membership per layer; the rest is as for `fit_softmax`.
    """
    designs = [make_design(a, t, t.shape[1]) for a, t in zip(axes, targets, strict=True)]
    return _paths(one_vs_rest_problems(designs), l2, tolerance)


def _paths(problems: LogisticProblems, l2: Sequence[float], tolerance: float) -> list[LogisticPath]:
    """Solve every strength of every case, from the strongest to the weakest."""
    cases = range(len(problems.start))
    solved: dict[float, Minimum] = {}
    point = problems.start
    for strength in sorted(set(l2), reverse=True):
        solved[strength] = problems.solve(cases, point, [strength] * len(cases), tolerance)
        point = solved[strength].point
    return [_path(problems, case, l2, [solved[strength] for strength in l2]) for case in cases]


def _path(
    problems: LogisticProblems, case: int, l2: Sequence[float], minima: Sequence[Minimum]
) -> LogisticPath:
    probes = [problems.probe(case, s, m.point[case]) for s, m in zip(l2, minima, strict=True)]
    return LogisticPath(
        l2=tuple(l2),
        weight=torch.cat([probe.weight for probe in probes]),
        intercept=torch.cat([probe.intercept for probe in probes]),
        passes=tuple(int(minimum.passes[case].max()) for minimum in minima),
        gap=tuple(float(minimum.gap[case].max()) for minimum in minima),
    )


def _kronecker(
    objective: Objective,
    ids: Int[Tensor, " problems"],
    point: Float[Tensor, "problems rows width"],
    l2: Float[Tensor, " problems"],
) -> Callable[[Int[Tensor, " active"], Tensor], Tensor]:
    """Return the inverse of mean(Λ) ⊗ diag(variance) + l2 I (intercept: no l2)."""
    spread, modes = torch.linalg.eigh(objective.class_curvature(ids, point))
    variance = _variances(objective, point.shape[2])[ids // objective.per_case]
    scale = spread.clamp(min=0).unsqueeze(2) * variance.unsqueeze(1)
    scale[..., :-1] += l2[:, None, None]
    # Softmax scores may all move together: that mode has no curvature and no gradient either.
    scale = scale.clamp(min=1e-9 * scale.amax((1, 2), keepdim=True))

    def apply(active: Int[Tensor, " active"], gradient: Tensor) -> Tensor:
        basis = modes[active]
        solved: Tensor = basis @ (basis.mT @ gradient / scale[active])
        return solved

    return apply


def _variances(objective: Objective, width: int) -> Float[Tensor, "cases {width}"]:
    """Second moment of every coordinate of every case, 1 for the intercept's."""
    views = [view for design in objective.designs for view in design.views]
    variance = views[0].variance.new_zeros(len(views), width)
    for row, view in zip(variance, views, strict=True):
        row[: len(view.variance)] = view.variance
    variance[:, -1] = 1
    return variance
