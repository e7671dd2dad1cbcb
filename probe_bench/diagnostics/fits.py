"""Probes on parts of the training units or of their principal axes: rough solves of many layers.

All fits of a layer share the standardiser and the principal axes of the whole training part, which
need no labels (in the online code both sides know the features).

Strength: the one whose *log-loss* on the valid part is least, a proper score that varies smoothly where
accuracy on few units jumps; neither test nor a block that is still to be coded is looked at. Strengths
are walked from the strongest down, each solve starting from the one before, until a step no longer
gains a hundredth. (The solution of a smaller part is a worse start: with twice the units its weights
are far off, and a weak penalty approached from afar takes hundreds of passes.) Objectives are solved
to a hundredth at worst; then the slope of the scores is set on valid:

    scores = (1 - s) q + s (b + W x),   s >= 0,

q the scores of the class frequencies alone. s = 1 is the probe as fitted, s = 0 ignores the features, which
V-information's family must be able to do. It takes out the overconfidence of few units, and of a
weak penalty between the strengths of the grid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from probe_bench.diagnostics.alphabet import Known, known
from probe_bench.probes.axes import Axes, principal_axes
from probe_bench.probes.logistic import LogisticProblems, one_vs_rest_problems, softmax_problems
from probe_bench.probes.standardise import Standardiser, fit_standardiser

__all__ = ["Ground", "Probe", "fit", "lay_out", "refit"]

Judge = Callable[[int, float, Tensor], float]
"""Loss of a layer's solution at a strength."""

_WORTH = 0.01  # of the loss: a step that gains less is the last one
_ROUGH = 1e-3  # moves bits by less than a thousandth against 1e-5 (docs/LOG.md)
_STEEPEST, _SLOPE_STEPS = 8.0, 10


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all fits of some layers of equal size stand on.

    Attributes:
        standardisers: Of the whole training part, one a layer.
        axes: Principal axes of the whole training part, largest variance first.
        valid: Valid units in those axes.
        targets: Of the training units, in all classes.
        valid_targets: Of the valid units.
        n_classes: All classes of the task.
    """

    standardisers: Sequence[Standardiser]
    axes: Sequence[Axes]
    valid: Sequence[Float[Tensor, "units _"]]
    targets: Shaped[Tensor, "samples ..."]
    valid_targets: Shaped[Tensor, "units ..."]
    n_classes: int

    def place(self, layer: int, x: Float[Tensor, "units dim"]) -> Float[Tensor, "units rank"]:
        """Bring raw features into the principal axes."""
        return _coordinates(self.axes[layer], self.standardisers[layer](x))


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One layer's probe.

    Attributes:
        known: Classes it knows.
        l2: Strength.
        weight: In the first principal axes, slope included (float64).
        intercept: At the mean of the features.
    """

    known: Known
    l2: float
    weight: Float[Tensor, "known width"]
    intercept: Float[Tensor, " known"]

    def logits(self, coordinates: Float[Tensor, "units rank"]) -> Float[Tensor, "units known"]:
        """Scores of units in principal axes."""
        used = coordinates[:, : self.weight.shape[1]]
        scores: Tensor = used @ self.weight.float().T + self.intercept.float()
        return scores


def lay_out(
    train: Sequence[Float[Tensor, "_ _"]],
    valid: Sequence[Float[Tensor, "_ _"]],
    targets: Shaped[Tensor, "samples ..."],
    valid_targets: Shaped[Tensor, "units ..."],
    n_classes: int,
) -> Ground:
    """Standardise and rotate the features of some layers, once for all fits."""
    standardisers = [fit_standardiser(x) for x in train]
    axes = [_largest_first(principal_axes(s(x))) for s, x in zip(standardisers, train, strict=True)]
    placed = [_coordinates(a, s(x)) for a, s, x in zip(axes, standardisers, valid, strict=True)]
    device = train[0].device
    return Ground(
        standardisers=standardisers,
        axes=axes,
        valid=placed,
        targets=targets.to(device),
        valid_targets=valid_targets.to(device),
        n_classes=n_classes,
    )


def fit(
    ground: Ground,
    l2: Sequence[float],
    *,
    rows: Int[Tensor, " some"] | None = None,
    width: int | None = None,
) -> list[Probe]:
    """Fit every layer on some units or axes, at the strength of least log-loss on valid.

    Args:
        ground: What the fits stand on.
        l2: All strengths.
        rows: Training units; all if None.
        width: Principal axes, the first ones; all if None.

    Returns:
        One probe a layer. Where the units are of fewer than two classes it knows frequencies alone.
    """
    targets = ground.targets if rows is None else ground.targets[rows]
    seen = known(targets, ground.n_classes)
    axes = [_part(a, rows, width) for a in ground.axes]
    if len(seen.columns) < (1 if seen.multi_label else 2):
        return [_ignorant(seen, a, max(l2)) for a in axes]

    def judge(layer: int, strength: float, point: Tensor) -> float:
        probe = _probe(seen, strength, point, axes[layer])
        return float(seen.bits(probe.logits(ground.valid[layer]), ground.valid_targets).mean())

    paths = [sorted(set(l2), reverse=True)] * len(axes)
    points, strengths = _descend(_problems(axes, seen, targets), paths, judge)
    return [
        _calibrated(ground, layer, _probe(seen, strength, point, a))
        for layer, (a, point, strength) in enumerate(zip(axes, points, strengths, strict=True))
    ]


def refit(ground: Ground, probes: Sequence[Probe], l2: Sequence[float]) -> list[Probe]:
    """Fit every layer on all units at the strengths of other probes; their slopes stay 1."""
    seen = known(ground.targets, ground.n_classes)
    paths = [sorted((s for s in l2 if s >= probe.l2), reverse=True) for probe in probes]
    problems = _problems(ground.axes, seen, ground.targets)
    points, strengths = _descend(problems, paths, lambda _, strength, __: strength)
    return [
        _probe(seen, strength, point, a)
        for a, point, strength in zip(ground.axes, points, strengths, strict=True)
    ]


def _descend(
    problems: LogisticProblems, paths: Sequence[Sequence[float]], judge: Judge
) -> tuple[Float[Tensor, "layers problems rows width"], list[float]]:
    """Walk every layer down its strengths for as long as the loss falls; return the best point."""
    point, best = problems.start.clone(), problems.start.clone()
    least, chosen = [float("inf")] * len(paths), [path[0] for path in paths]
    running = list(range(len(paths)))
    for turn in range(max(len(path) for path in paths)):
        running = [layer for layer in running if turn < len(paths[layer])]
        if not running:
            break
        l2 = [paths[layer][turn] for layer in running]
        point[running] = problems.solve(running, point[running], l2, _ROUGH).point
        for layer, strength in zip(tuple(running), l2, strict=True):
            loss = judge(layer, strength, point[layer])
            gain = least[layer] - loss
            if gain > 0:
                best[layer], least[layer], chosen[layer] = point[layer], loss, strength
            if gain < _WORTH * loss:
                running.remove(layer)
    return best, chosen


def _problems(
    axes: Sequence[Axes], seen: Known, targets: Shaped[Tensor, "samples ..."]
) -> LogisticProblems:
    local = seen.local(targets)
    if seen.multi_label:
        return one_vs_rest_problems(axes, [local.float()] * len(axes))
    return softmax_problems(axes, [local] * len(axes), len(seen.columns))


def _calibrated(ground: Ground, layer: int, probe: Probe) -> Probe:
    """Set the slope of the scores on the valid units whose class the probe knows."""
    ignorant = probe.known.prior_scores()
    moved = probe.logits(ground.valid[layer]) - ignorant.float()
    targets = probe.known.local(ground.valid_targets)
    if not probe.known.multi_label:
        told = targets < len(probe.intercept)
        moved, targets = moved[told], targets[told]
    slope = _slope(ignorant.float(), moved, targets)
    return replace(
        probe,
        weight=slope * probe.weight,
        intercept=(1 - slope) * ignorant + slope * probe.intercept,
    )


def _slope(
    ignorant: Float[Tensor, " known"],
    moved: Float[Tensor, "units known"],
    targets: Shaped[Tensor, "units ..."],
) -> float:
    """Minimise the log-loss of `ignorant + s * moved` over s: convex, so Newton within a bracket."""
    if not len(moved):
        return 1.0
    low, slope, high = 0.0, 1.0, _STEEPEST
    for _ in range(_SLOPE_STEPS):
        scores = ignorant + slope * moved
        if targets.dim() == 2:
            p = scores.sigmoid()
            rise = ((p - targets.float()) * moved).double().sum()
            curve = (p * (1 - p) * moved.square()).double().sum()
        else:
            p = scores.softmax(1)
            mean = (p * moved).sum(1, keepdim=True)
            rise = (mean - moved.gather(1, targets[:, None])).double().sum()
            curve = (p * (moved - mean).square()).double().sum()
        low, high = (low, slope) if rise > 0 else (slope, high)
        newton = slope - float(rise / curve.clamp(min=torch.finfo(torch.float64).tiny))
        slope = newton if low < newton < high else (low + high) / 2
    return slope


def _probe(
    seen: Known, l2: float, point: Float[Tensor, "problems rows width"], axes: Axes
) -> Probe:
    """Read a solution, whose columns are the axes, padding and the intercept."""
    flat = point.flatten(0, 1)
    return Probe(known=seen, l2=l2, weight=flat[:, : len(axes.eigenvalues)], intercept=flat[:, -1])


def _ignorant(seen: Known, axes: Axes, l2: float) -> Probe:
    """Return a probe of class frequencies, for units that leave nothing to fit."""
    none = axes.eigenvalues.new_zeros(len(seen.columns), 0)
    return Probe(known=seen, l2=l2, weight=none, intercept=none.sum(1))


def _largest_first(axes: Axes) -> Axes:
    return replace(
        axes,
        basis=axes.basis.flip(1),
        eigenvalues=axes.eigenvalues.flip(0),
        coordinates=axes.coordinates.flip(1),
    )


def _coordinates(axes: Axes, x: Float[Tensor, "units dim"]) -> Float[Tensor, "units rank"]:
    shift = (axes.mean @ axes.basis).float()
    placed: Tensor = x @ axes.basis.float() - shift
    return placed


def _part(axes: Axes, rows: Int[Tensor, " some"] | None, width: int | None) -> Axes:
    """Keep some units and the first axes; variances of what is left."""
    basis, coordinates = axes.basis[:, :width], axes.coordinates[:, :width]
    if rows is None:
        return replace(
            axes, basis=basis, eigenvalues=axes.eigenvalues[:width], coordinates=coordinates
        )
    kept = coordinates[rows]
    variance = kept.double().square().mean(0)
    return replace(axes, basis=basis, eigenvalues=variance, coordinates=kept)
