"""Batched preconditioned L-BFGS: many smooth convex problems of one shape, each at its own pace.

Every problem has its own curvature pairs, step length and stopping test; finished ones leave the
batch, so no product is spent on them. Two-loop recursion: Nocedal & Wright, Numerical
Optimization, algorithm 7.4, with the preconditioner as the initial inverse Hessian.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Minimum", "minimise"]

Oracle = Callable[
    [Int[Tensor, " active"], Float[Tensor, "active ..."]],
    tuple[Float[Tensor, " active"], Float[Tensor, "active ..."]],
]
Preconditioner = Callable[
    [Int[Tensor, " active"], Float[Tensor, "active ..."]], Float[Tensor, "active ..."]
]

_SLOPE = 0.9  # accept |f'(t)| below this share of |f'(0)| (strong Wolfe, standard for L-BFGS)
_NOISE = 1e-5  # float32 products leave up to this share in the objective: no dip may end a solve
_TRIALS = 12


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """Result of a batched minimisation.

    Attributes:
        point: Minimisers (float64).
        value: Objective there.
        gap: Estimated relative distance to the optimum, half the squared Newton decrement over
            the value.
        passes: Evaluations of value and gradient that each problem took.
    """

    point: Float[Tensor, "*problems rows width"]
    value: Float[Tensor, "*problems"]
    gap: Float[Tensor, "*problems"]
    passes: Int[Tensor, "*problems"]


@dataclass
class _Batch:
    """The problems still running: their numbers, state and curvature pairs (newest last)."""

    ids: Int[Tensor, " active"]
    point: Float[Tensor, "active ..."]
    value: Float[Tensor, " active"]
    gradient: Float[Tensor, "active ..."]
    steps: list[Float[Tensor, "active ..."]]
    changes: list[Float[Tensor, "active ..."]]

    def keep(self, mask: Bool[Tensor, " active"]) -> None:
        if bool(mask.all()):
            return
        self.ids, self.point, self.value = self.ids[mask], self.point[mask], self.value[mask]
        self.gradient = self.gradient[mask]
        self.steps = [step[mask] for step in self.steps]
        self.changes = [change[mask] for change in self.changes]


def minimise(
    oracle: Oracle,
    precondition: Preconditioner,
    start: Float[Tensor, "problems ..."],
    *,
    tolerance: float = 1e-7,
    memory: int = 10,
    max_iterations: int = 1000,
) -> Minimum:
    """Minimise all problems to a relative objective gap of about `tolerance`.

    Args:
        oracle: `(ids, points) -> (values, gradients)` of the named problems, float64.
        precondition: `(ids, gradients) -> inverse-Hessian estimate times gradients`.
        start: Starting points (float64).
        tolerance: A problem stops when half its squared Newton decrement, gᵀH⁻¹g / 2, with the
            L-BFGS estimate of H⁻¹, falls below this share of its value.
        memory: Curvature pairs kept.
        max_iterations: Safety net; `gap` shows where it was needed.
    """
    ids = torch.arange(len(start), device=start.device)
    value, gradient = oracle(ids, start)
    point, best, gap = start.clone(), value.clone(), torch.full_like(value, torch.inf)
    passes = torch.ones_like(ids)
    batch = _Batch(ids, start.clone(), value, gradient, [], [])
    for _ in range(max_iterations):
        direction = -_inverse_hessian(batch, precondition)
        slope = _dot(batch.gradient, direction)
        gap[batch.ids] = -slope / 2 / batch.value.abs().clamp(min=torch.finfo(value.dtype).tiny)
        running = gap[batch.ids] > tolerance
        batch.keep(running)
        if not len(batch.ids):
            break
        moved = _step(
            batch, oracle, direction[running], slope[running], passes=passes, memory=memory
        )
        point[batch.ids], best[batch.ids] = batch.point, batch.value
        batch.keep(moved)
        if not len(batch.ids):
            break
    return Minimum(point=point, value=best, gap=gap, passes=passes)


def _dot(
    a: Float[Tensor, "active ..."], b: Float[Tensor, "active ..."]
) -> Float[Tensor, " active"]:
    return (a * b).flatten(1).sum(1)


def _scaled(factor: Float[Tensor, " active"], x: Float[Tensor, "active ..."]) -> Tensor:
    return factor.view(-1, *[1] * (x.dim() - 1)) * x


def _inverse_hessian(batch: _Batch, precondition: Preconditioner) -> Float[Tensor, "active ..."]:
    q, weights = batch.gradient.clone(), []
    for step, change in zip(reversed(batch.steps), reversed(batch.changes), strict=True):
        weight = _dot(step, q) / _curvature(step, change)
        q -= _scaled(weight, change)
        weights.append(weight)
    q = precondition(batch.ids, q)
    for step, change, weight in zip(batch.steps, batch.changes, reversed(weights), strict=True):
        q += _scaled(weight - _dot(change, q) / _curvature(step, change), step)
    return q


def _curvature(step: Tensor, change: Tensor) -> Float[Tensor, " active"]:
    """Curvature sᵀy; positive by convexity, infinite where rounding made it otherwise (no pair)."""
    curvature = _dot(step, change)
    return torch.where(curvature > 0, curvature, torch.inf)


def _step(
    batch: _Batch,
    oracle: Oracle,
    direction: Float[Tensor, "active ..."],
    slope: Float[Tensor, " active"],
    *,
    passes: Int[Tensor, " problems"],
    memory: int,
) -> Bool[Tensor, " active"]:
    """Move every problem along its direction; returns which found an acceptable step.

    The trial length starts at 1, right for a Newton-like direction, and follows the secant of the
    slope where the Wolfe conditions fail.
    """
    length = torch.ones_like(slope)
    point, value, gradient = batch.point.clone(), batch.value.clone(), batch.gradient.clone()
    pending = torch.arange(len(slope), device=slope.device)
    for _ in range(_TRIALS):
        trial = batch.point[pending] + _scaled(length[pending], direction[pending])
        new_value, new_gradient = oracle(batch.ids[pending], trial)
        passes[batch.ids[pending]] += 1
        new_slope = _dot(new_gradient, direction[pending])
        first, old = slope[pending], batch.value[pending]
        descends = new_value <= old + 1e-4 * length[pending] * first + _NOISE * old.abs()
        accepted = descends & (new_slope.abs() <= _SLOPE * first.abs())
        done = pending[accepted]
        point[done], value[done] = trial[accepted], new_value[accepted]
        gradient[done] = new_gradient[accepted]
        pending, first, new_slope = pending[~accepted], first[~accepted], new_slope[~accepted]
        if not len(pending):
            break
        # Secant of f' through 0 and t: the zero lies at t f'(0) / (f'(0) - f'(t)).
        length[pending] *= (first / (first - new_slope)).nan_to_num(4.0).clamp(0.1, 4.0)
    moved = torch.ones_like(slope, dtype=torch.bool)
    moved[pending] = False
    batch.steps = [*batch.steps, point - batch.point][-memory:]
    batch.changes = [*batch.changes, gradient - batch.gradient][-memory:]
    batch.point, batch.value, batch.gradient = point, value, gradient
    return moved
