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

Layers and classes are the batch; strengths run from strong to weak, each starting from the one
before (here, or in `search`, which solves to the end only the strength that validates best).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.axes import Axes
from probe_bench.probes.designs import Objective, make_design
from probe_bench.probes.lbfgs import Minimum, minimise
from probe_bench.probes.linear import LinearPath
from probe_bench.probes.losses import Sigmoid, Softmax

__all__ = [
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


@dataclass(frozen=True, kw_only=True)
class LogisticPath(LinearPath):
    """Logistic probes of one layer, with the record of their solve.

    Attributes:
        passes: Reads of the training data (value and gradient) by the slowest class.
        gap: Estimated relative distance of the objective to its optimum, largest over classes.
    """

    passes: tuple[int, ...]
    gap: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class LogisticProblems:
    """The logistic regressions of several layers on the same targets, before any strength is set.

    A layer is one problem (softmax) or one a class (one-vs-rest); points are in principal axes.

    Attributes:
        axes: Principal axes of each layer's training features.
        objective: Products of all problems with their features.
        start: Zero weights, intercepts at the class priors (float64).
    """

    axes: Sequence[Axes]
    objective: Objective
    start: Float[Tensor, "layers problems rows width"]

    def solve(
        self,
        layers: Sequence[int],
        start: Float[Tensor, "layers problems rows width"],
        l2: Sequence[float],
        tolerance: float,
    ) -> Minimum:
        """Solve some layers, each from its own start and at its own strength.

        Args:
            layers: Ascending.
            start: One a layer named.
            l2: One a layer named.
            tolerance: Relative objective gap at which a problem stops.

        Returns:
            Minima, `layers problems` first.
        """
        device, per_layer = start.device, start.shape[1]
        first = per_layer * torch.tensor(layers, device=device)
        ids = (first[:, None] + torch.arange(per_layer, device=device)).flatten()
        strengths = torch.tensor(list(l2), dtype=torch.float64, device=device)
        strengths = strengths.repeat_interleave(per_layer)
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
        self, layer: int, l2: float, point: Float[Tensor, "problems rows width"]
    ) -> LinearPath:
        """Return the probe of one layer and strength in the coordinates of its features."""
        axes, rotated = self.axes[layer], point.flatten(0, 1)
        weight = rotated[:, : axes.basis.shape[1]] @ axes.basis.T
        intercept = rotated[:, -1] - weight @ axes.mean
        return LinearPath(l2=(l2,), weight=weight[None], intercept=intercept[None])


def softmax_problems(
    axes: Sequence[Axes], classes: Sequence[Int[Tensor, " _"]], n_classes: int
) -> LogisticProblems:
    """Set up multinomial logistic regression on every layer.

    Args:
        axes: Principal axes of each layer's (or fold's) training features; ranks may differ.
        classes: Class index of each training sample, per layer; every class must occur.
        n_classes: Number of classes.
    """
    width = 1 + max(a.coordinates.shape[1] for a in axes)
    designs = [make_design(a, c, width) for a, c in zip(axes, classes, strict=True)]
    prior = [torch.bincount(c, minlength=n_classes).double() / len(c) for c in classes]
    logits = torch.stack(prior).log()
    start = logits.new_zeros(len(axes), 1, n_classes, width)
    start[:, 0, :, -1] = logits - logits.mean(1, keepdim=True)
    objective = Objective(designs=designs, loss=Softmax(), per_design=1)
    return LogisticProblems(axes=axes, objective=objective, start=start)


def one_vs_rest_problems(
    axes: Sequence[Axes], targets: Sequence[Float[Tensor, "_ classes"]]
) -> LogisticProblems:
    """Set up one independent logistic regression a class on every layer.

    Args:
        axes: Principal axes of each layer's training features.
        targets: 0/1 membership; every class needs a sample with and one without it.
    """
    n_classes = targets[0].shape[1]
    width = 1 + max(a.coordinates.shape[1] for a in axes)
    designs = [
        make_design(a, t.float().T.contiguous(), width) for a, t in zip(axes, targets, strict=True)
    ]
    prior = torch.stack([t.double().mean(0) for t in targets])
    start = prior.new_zeros(len(axes), n_classes, 1, width)
    start[:, :, 0, -1] = prior.logit()
    objective = Objective(designs=designs, loss=Sigmoid(), per_design=n_classes)
    return LogisticProblems(axes=axes, objective=objective, start=start)


def fit_softmax(
    axes: Sequence[Axes],
    classes: Sequence[Int[Tensor, " _"]],
    n_classes: int,
    l2: Sequence[float],
    *,
    tolerance: float = _TOLERANCE,
) -> list[LogisticPath]:
    """Fit multinomial logistic regression for every layer and strength (see `softmax_problems`).

    Returns:
        One path a layer, strengths as given.
    """
    return _paths(softmax_problems(axes, classes, n_classes), l2, tolerance)


def fit_one_vs_rest(
    axes: Sequence[Axes],
    targets: Sequence[Float[Tensor, "_ classes"]],
    l2: Sequence[float],
    *,
    tolerance: float = _TOLERANCE,
) -> list[LogisticPath]:
    """Fit one logistic regression a class for every layer and strength (`one_vs_rest_problems`)."""
    return _paths(one_vs_rest_problems(axes, targets), l2, tolerance)


def _paths(problems: LogisticProblems, l2: Sequence[float], tolerance: float) -> list[LogisticPath]:
    """Solve every strength on every layer, from the strongest to the weakest."""
    layers = range(len(problems.axes))
    solved: dict[float, Minimum] = {}
    point = problems.start
    for strength in sorted(set(l2), reverse=True):
        solved[strength] = problems.solve(layers, point, [strength] * len(layers), tolerance)
        point = solved[strength].point
    return [_path(problems, layer, l2, [solved[strength] for strength in l2]) for layer in layers]


def _path(
    problems: LogisticProblems, layer: int, l2: Sequence[float], minima: Sequence[Minimum]
) -> LogisticPath:
    probes = [problems.probe(layer, s, m.point[layer]) for s, m in zip(l2, minima, strict=True)]
    return LogisticPath(
        l2=tuple(l2),
        weight=torch.cat([probe.weight for probe in probes]),
        intercept=torch.cat([probe.intercept for probe in probes]),
        passes=tuple(int(minimum.passes[layer].max()) for minimum in minima),
        gap=tuple(float(minimum.gap[layer].max()) for minimum in minima),
    )


def _kronecker(
    objective: Objective,
    ids: Int[Tensor, " problems"],
    point: Float[Tensor, "problems rows width"],
    l2: Float[Tensor, " problems"],
) -> Callable[[Int[Tensor, " active"], Tensor], Tensor]:
    """Return the inverse of mean(Λ) ⊗ diag(variance) + l2 I (intercept: no l2)."""
    spread, modes = torch.linalg.eigh(objective.class_curvature(ids, point))
    variance = torch.stack([design.variance for design in objective.designs])
    variance = variance[ids // objective.per_design]
    scale = spread.clamp(min=0).unsqueeze(2) * variance.unsqueeze(1)
    scale[..., :-1] += l2[:, None, None]
    # Softmax scores may all move together: that mode has no curvature and no gradient either.
    scale = scale.clamp(min=1e-9 * scale.amax((1, 2), keepdim=True))

    def apply(active: Int[Tensor, " active"], gradient: Tensor) -> Tensor:
        basis = modes[active]
        solved: Tensor = basis @ (basis.mT @ gradient / scale[active])
        return solved

    return apply
