"""Blockwise products of many logistic problems with the features they share.

A *design* is one layer's (or fold's) training set in its principal axes, with a column of ones for
the intercept. All problems of a design (strengths, or classes of one-vs-rest) go through one matrix
product per block, so a pass reads the features once whatever their number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.axes import Axes
from probe_bench.probes.losses import Loss

__all__ = ["Design", "Objective", "make_design"]

_BLOCK_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 27}  # scores in flight: cache size, GPU memory


@dataclass(frozen=True, kw_only=True)
class Design:
    """One training set and its targets.

    Attributes:
        x: Principal coordinates, zero-padded to the common width, then a column of ones (float32).
        variance: Second moment of each column of `x` (float64).
        targets: Class indices (`samples`), or 0/1 per class (`classes samples`, float32).
    """

    x: Float[Tensor, "samples width"]
    variance: Float[Tensor, " width"]
    targets: Tensor


def make_design(axes: Axes, targets: Tensor, width: int) -> Design:
    """Put principal coordinates, padding and ones side by side."""
    n, rank = axes.coordinates.shape
    x = axes.coordinates.new_zeros(n, width)
    x[:, :rank] = axes.coordinates
    x[:, -1] = 1
    variance = axes.eigenvalues.new_zeros(width)
    variance[:rank] = axes.eigenvalues
    variance[-1] = 1
    return Design(x=x, variance=variance, targets=targets)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Mean loss + (l2 / 2) ||W||² of every problem; the last column (intercept) is not penalised.

    Problem p belongs to design `p // per_design`; with 2-D targets it is class `p % per_design`.
    """

    designs: Sequence[Design]
    loss: Loss
    per_design: int

    def value_and_gradient(
        self,
        ids: Int[Tensor, " active"],
        weights: Float[Tensor, "active classes width"],
        l2: Float[Tensor, " active"],
    ) -> tuple[Float[Tensor, " active"], Float[Tensor, "active classes width"]]:
        """Evaluate the named problems: float32 products, float64 sums; one pass over the data."""
        penalised = _without_intercept(weights)
        value = l2 / 2 * penalised.square().sum((1, 2))
        gradient = l2[:, None, None] * penalised
        for design, rows, targets in self._groups(ids):
            flat = weights[rows].float()
            n, (p, classes, width) = len(design.x), flat.shape
            for start, stop in _blocks(n, p * classes, design.x.device.type):
                x = design.x[start:stop]
                scores = (flat.view(-1, width) @ x.T).view(p, classes, -1)
                loss, residual = self.loss.residual(scores, targets[..., start:stop])
                value[rows] += loss / n
                gradient[rows] += (residual.view(p * classes, -1) @ x).view(flat.shape) / n
        return value, gradient

    def class_curvature(
        self, ids: Int[Tensor, " active"], weights: Float[Tensor, "active classes width"]
    ) -> Float[Tensor, "active classes classes"]:
        """Mean second derivative of the loss by the scores (about half a pass)."""
        active, classes, width = weights.shape
        total = weights.new_zeros(active, classes, classes)
        for design, rows, _ in self._groups(ids):
            flat = weights[rows].float()
            n, p = len(design.x), len(flat)
            for start, stop in _blocks(n, p * classes, design.x.device.type):
                scores = (flat.view(-1, width) @ design.x[start:stop].T).view(p, classes, -1)
                total[rows] += self.loss.curvature(scores) / n
        return total

    def _groups(self, ids: Int[Tensor, " active"]) -> Iterator[tuple[Design, slice, Tensor]]:
        """Runs of problems of one design; ids ascend, so each run is one slice."""
        owners = (ids // self.per_design).tolist()
        for number, design in enumerate(self.designs):
            count = owners.count(number)
            if not count:
                continue
            first = owners.index(number)
            rows = slice(first, first + count)
            targets = design.targets
            if targets.dim() == 2:
                targets = targets[(ids[rows] % self.per_design).to(targets.device)]
            yield design, rows, targets


def _without_intercept(weights: Float[Tensor, "active classes width"]) -> Tensor:
    penalised = weights.clone()
    penalised[..., -1] = 0
    return penalised


def _blocks(n: int, rows: int, device: str) -> Iterator[tuple[int, int]]:
    size = max(256, _BLOCK_ELEMENTS.get(device, 1 << 18) // rows)
    return ((start, min(start + size, n)) for start in range(0, n, size))
