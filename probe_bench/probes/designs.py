"""Blockwise products of many logistic problems with the features they share.

A *design* is one layer's features in principal axes, with a column of ones for the intercept. The
folds of a layer share it: each trains on some of its ranges and sees it in coordinates of its own
(`View`). All problems that train on a range (folds, classes of one-vs-rest) go through one matrix
product per block, so a pass reads the features once whatever their number, and the features may lie
anywhere that a slice can be read from: device, pinned host memory, a memory-mapped file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.axes import Axes
from probe_bench.probes.losses import Loss
from probe_bench.probes.moments import coded
from probe_bench.probes.roles import Segment

__all__ = ["Design", "Objective", "View", "make_design", "row_blocks"]

_BLOCK_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 27}  # scores in flight: cache size, GPU memory
_BLOCK_ROWS = {"cpu": 2048, "cuda": 1 << 20}  # a block is read twice: it should stay in the cache


@dataclass(frozen=True, kw_only=True)
class View:
    """One fold's own coordinates of a design: its principal axes, where its Gram is diagonal.

    Attributes:
        count: Rows that the fold trains on.
        target_mean: Share of each class among them.
        mean: Mean of the fold's standardised features.
        basis: Its principal axes, orthonormal columns (float64).
        variance: Variance along each (float64).
        change: Map from the design's columns to the fold's coordinates and a one; None if equal.
    """

    count: int
    target_mean: Float[Tensor, " targets"]
    mean: Float[Tensor, " dim"]
    basis: Float[Tensor, "dim rank"]
    variance: Float[Tensor, " rank"]
    change: Float[Tensor, "own columns"] | None = None

    def spread(self, weights: Float[Tensor, "problems rows width"]) -> Tensor:
        """Turn weights on the fold's coordinates (padded) into weights on the design's columns."""
        own = torch.cat([weights[..., : len(self.variance)], weights[..., -1:]], -1).float()
        return own if self.change is None else own @ self.change

    def collect(
        self, gradient: Float[Tensor, "problems rows columns"], width: int
    ) -> Float[Tensor, "problems rows width"]:
        """Turn gradients by weights on columns into those by the fold's weights (padded)."""
        own = gradient if self.change is None else (gradient.float() @ self.change.T).double()
        padded = own.new_zeros(*own.shape[:-1], width)
        padded[..., : len(self.variance)] = own[..., :-1]
        padded[..., -1] = own[..., -1]
        return padded


@dataclass(frozen=True, kw_only=True)
class Design:
    """The features of one layer and their targets, as its folds share them.

    Attributes:
        x: Coordinates, then a column of ones (float32); on the device or where slices can be read.
        targets: Class indices (`rows`), or 0/1 per class (`classes rows`, float32).
        segments: Ranges of rows, with the folds that train on them.
        views: What each fold sees.
    """

    x: Float[Tensor, "rows columns"]
    targets: Tensor
    segments: tuple[Segment, ...]
    views: tuple[View, ...]

    @property
    def rank(self) -> int:
        """Largest number of coordinates of a fold."""
        return max(len(view.variance) for view in self.views)

    @property
    def device(self) -> torch.device:
        """Where the solve runs; `x` may lie elsewhere."""
        return self.targets.device


def make_design(axes: Axes, targets: Tensor, n_classes: int) -> Design:
    """Make the design of a single fold that trains on all rows.

    Args:
        axes: Principal axes of the features.
        targets: Class indices, or 0/1 membership (`samples classes`).
        n_classes: Number of classes.
    """
    n = len(axes.coordinates)
    view = View(
        count=n,
        target_mean=coded(targets, n_classes).mean(0),
        mean=axes.mean,
        basis=axes.basis,
        variance=axes.eigenvalues,
    )
    return Design(
        x=torch.cat([axes.coordinates, axes.coordinates.new_ones(n, 1)], 1),
        targets=targets.float().T.contiguous() if targets.dim() == 2 else targets,
        segments=(Segment(start=0, stop=n, train=(0,), valid=()),),
        views=(view,),
    )


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Mean loss + (l2 / 2) ||W||² of every problem; the last column (intercept) is not penalised.

    Problems are numbered by design, fold and class: problem p belongs to *case* `p // per_case`, the
    cases of a design are its folds; with 2-D targets p is class `p % per_case`.
    """

    designs: Sequence[Design]
    loss: Loss
    per_case: int

    def view(self, case: int) -> View:
        """Return what the fold of a case sees."""
        folds = len(self.designs[0].views)
        return self.designs[case // folds].views[case % folds]

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
        for part in self._parts(ids, weights):
            loss, slope = part.sums(self.loss)
            for rows, view in part.runs:
                value[rows.at] += loss[rows.own] / view.count
                gradient[rows.at] += view.collect(slope[rows.own] / view.count, weights.shape[2])
        return value, gradient

    def class_curvature(
        self, ids: Int[Tensor, " active"], weights: Float[Tensor, "active classes width"]
    ) -> Float[Tensor, "active classes classes"]:
        """Mean second derivative of the loss by the scores (about half a pass)."""
        active, classes, _ = weights.shape
        total = weights.new_zeros(active, classes, classes)
        for part in self._parts(ids, weights):
            curvature = part.curvature(self.loss)
            for rows, view in part.runs:
                total[rows.at] = curvature[rows.own] / view.count
        return total

    def _parts(
        self, ids: Int[Tensor, " active"], weights: Float[Tensor, "active classes width"]
    ) -> Iterator["_Part"]:
        """The problems of each design; ids ascend, so those of a fold are one range."""
        folds = len(self.designs[0].views)
        cases = (ids // self.per_case).tolist()
        for number, design in enumerate(self.designs):
            runs, own = [], 0
            for fold, view in enumerate(design.views):
                count = cases.count(number * folds + fold)
                if not count:
                    continue
                at = cases.index(number * folds + fold)
                runs.append((_Run(at=slice(at, at + count), own=slice(own, own + count)), view))
                own += count
            if runs:
                first, last = runs[0][0].at.start, runs[-1][0].at.stop
                yield _Part(
                    design=design,
                    fold=[case % folds for case in cases[first:last]],
                    column=ids[first:last] % self.per_case,
                    weights=torch.cat([view.spread(weights[run.at]) for run, view in runs]),
                    runs=runs,
                )


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The problems of one fold: their places among all and among those of their design."""

    at: slice
    own: slice


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The active problems of one design, their weights on its columns."""

    design: Design
    fold: list[int]
    column: Int[Tensor, " problems"]
    weights: Float[Tensor, "problems classes columns"]
    runs: list[tuple[_Run, View]]

    def sums(
        self, loss: Loss
    ) -> tuple[Float[Tensor, " problems"], Float[Tensor, "problems classes columns"]]:
        """Summed loss and its gradient by the weights on the columns (float64)."""
        value = self.weights.new_zeros(len(self.weights), dtype=torch.float64)
        gradient = torch.zeros_like(self.weights, dtype=torch.float64)
        for picked, x, scores, targets in self._blocks():
            p, classes, _ = scores.shape
            added, residual = loss.residual(scores, targets)
            slope = (residual.view(p * classes, -1) @ x).view(p, classes, -1)
            value.index_add_(0, picked, added)
            gradient.index_add_(0, picked, slope.double())
        return value, gradient

    def curvature(self, loss: Loss) -> Float[Tensor, "problems classes classes"]:
        """Summed second derivative by the scores (float64)."""
        n, classes, _ = self.weights.shape
        total = self.weights.new_zeros(n, classes, classes, dtype=torch.float64)
        for picked, _, scores, _ in self._blocks():
            total.index_add_(0, picked, loss.curvature(scores))
        return total

    def _blocks(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Problems, features, scores and targets of every block of rows."""
        device, targets = self.design.device, self.design.targets
        for first, last, chosen in self._ranges():
            picked = torch.tensor(chosen, device=device)
            weights = self.weights[picked]
            p, classes, columns = weights.shape
            for start, stop in row_blocks(first, last, p * classes, device):
                x = self.design.x[start:stop].to(device, non_blocking=True)
                scores = (weights.view(-1, columns) @ x.T).view(p, classes, -1)
                block = targets[..., start:stop]
                yield picked, x, scores, block if block.dim() == 1 else block[self.column[picked]]

    def _ranges(self) -> Iterator[tuple[int, int, list[int]]]:
        """Ranges of rows with the problems that train on them; neighbours of equal ones joined."""
        members = [
            [k for k, fold in enumerate(self.fold) if fold in segment.train]
            for segment in self.design.segments
        ]
        alike = groupby(zip(self.design.segments, members, strict=True), key=itemgetter(1))
        for chosen, pairs in alike:
            if chosen:
                segments = [segment for segment, _ in pairs]
                yield segments[0].start, segments[-1].stop, chosen


def _without_intercept(weights: Float[Tensor, "active classes width"]) -> Tensor:
    penalised = weights.clone()
    penalised[..., -1] = 0
    return penalised


def row_blocks(
    start: int, stop: int, scores: int, device: torch.device
) -> Iterator[tuple[int, int]]:
    """Cut a range of rows into blocks that suit the device, with so many scores a row."""
    elements, rows = _BLOCK_ELEMENTS.get(device.type, 1 << 18), _BLOCK_ROWS.get(device.type, 2048)
    size = min(max(256, elements // scores), rows)
    return ((at, min(at + size, stop)) for at in range(start, stop, size))
