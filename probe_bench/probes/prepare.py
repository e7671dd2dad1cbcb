"""Make layers ready to be solved in two readings of their features, neither of which holds them.

The first reading takes the moments of every fold; their eigendecompositions give each fold's principal
axes. The second writes the coordinates of all rows, once for all folds, to where there is room.

With several folds the rows are written in axes of all of them together. Fold f, standardised by mean
m_f and scale S_f = diag(s_f) and rotated by V_f, sees a row x = m + S⁻¹ V c (shared: m, S, V, c) as

    V_fᵀ S_f (x - m_f) = [V_fᵀ S_f S⁻¹ V] c + V_fᵀ S_f (m - m_f),

an affine map of c. It is applied to weights (rank x rank, far smaller than the data), never to rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.probes.axes import FoldAxes, axes_of_moments, axes_of_rows
from probe_bench.probes.blocks import Blocks
from probe_bench.probes.designs import Design, View, row_blocks
from probe_bench.probes.linear import LinearPath
from probe_bench.probes.moments import measure_moments
from probe_bench.probes.roles import Roles
from probe_bench.probes.scratch import Room

__all__ = ["Prepared", "layer_bytes", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One layer, ready to be solved.

    Attributes:
        folds: Principal axes of what each fold trains on.
        shared: Axes of the rows as they are written.
        design: The rows.
    """

    folds: tuple[FoldAxes, ...]
    shared: FoldAxes
    design: Design

    def valid_scores(self, fold: int, path: LinearPath) -> Float[Tensor, "strengths units classes"]:
        """Score the rows that a fold chooses by, in the order in which they are written.

        A probe W, b of the fold's standardised features s = S_f (x - μ_f) reads coordinates as
        W S_f S⁻¹ V c + W S_f (m - μ_f) + b, with μ_f the mean as the standardiser rounds it.
        """
        own, shared, design = self.folds[fold], self.shared, self.design
        away = own.scale * (shared.mean - own.standardiser.mean.double())
        weight = path.weight @ _between(own, shared)
        columns = torch.cat([weight, (path.intercept + path.weight @ away)[..., None]], -1)
        flat = columns.flatten(0, 1).float()
        blocks = [
            design.x[start:stop].to(design.device, non_blocking=True) @ flat.T
            for segment in design.segments
            if fold in segment.valid
            for start, stop in row_blocks(segment.start, segment.stop, len(flat), design.device)
        ]
        return torch.cat(blocks).view(-1, *path.intercept.shape).movedim(0, 1)


def prepare(
    layers: Sequence[Blocks], roles: Roles, targets: Tensor, n_classes: int, room: Room
) -> list[Prepared]:
    """Read layers of one width twice each and make them ready.

    Args:
        layers: Features of each layer, rows numbered alike.
        roles: What the rows are for.
        targets: Class index of each row, or 0/1 membership (`rows classes`).
        n_classes: Number of classes.
        room: Where coordinates are put.
    """
    placed = torch.empty_like(targets)
    placed[roles.place] = targets
    device = layers[0].device
    placed = (placed.float().T.contiguous() if targets.dim() == 2 else placed).to(device)
    axes = _axes(layers, roles, targets, n_classes)
    return [_prepared(x, roles, own, placed, room) for x, own in zip(layers, axes, strict=True)]


def layer_bytes(rows: int, dim: int, folds: int) -> int:
    """Return what a layer takes while it is solved: coordinates, and float64 matrices a fold."""
    return 4 * rows * (dim + 1) + 8 * 4 * dim * min(rows, dim) * (folds + 1)


def _axes(
    layers: Sequence[Blocks], roles: Roles, targets: Tensor, n_classes: int
) -> list[list[FoldAxes]]:
    """Axes of every fold and, with several folds, of all rows together (last), by layer."""
    unions, sets = roles.unions
    if int((sets >= 0).sum()) >= layers[0].shape[1]:
        return axes_of_moments(
            [
                measure_moments(x, sets, unions.shape[1], targets, n_classes).united(unions)
                for x in layers
            ]
        )
    # Fewer rows than dimensions: they are few enough to hold, and their span is smaller than a Gram.
    members = unions[:, sets] & (sets >= 0)
    held = members.any(0)
    return [
        axes_of_rows(_gathered(x)[held.to(x.device)], members[:, held], targets[held], n_classes)
        for x in layers
    ]


def _gathered(x: Blocks) -> Float[Tensor, "rows dim"]:
    every = torch.empty(*x.shape, device=x.device)
    for places, block in x:
        every[places.to(x.device)] = block.float()
    return every


def _prepared(
    x: Blocks, roles: Roles, axes: list[FoldAxes], targets: Tensor, room: Room
) -> Prepared:
    folds, shared = axes[: roles.n_folds], axes[-1]
    return Prepared(
        folds=tuple(folds),
        shared=shared,
        design=Design(
            x=_written(x, roles, shared, room),
            targets=targets,
            segments=roles.segments,
            views=tuple(_view(own, None if own is shared else shared) for own in folds),
        ),
    )


def _written(
    x: Blocks, roles: Roles, shared: FoldAxes, room: Room
) -> Float[Tensor, "rows columns"]:
    """Write every row's coordinates and a one to its place."""
    basis, offset = shared.basis.float(), (shared.offset @ shared.basis).float()
    written = room.empty(x.shape[0], basis.shape[1] + 1, x.device)
    for places, block in x:
        coordinates = shared.standardiser(block) @ basis - offset
        to = roles.place[places].to(written.device)
        written[to, :-1] = coordinates.to(written.device)
        written[to, -1] = 1
    return written


def _view(own: FoldAxes, shared: FoldAxes | None) -> View:
    return View(
        count=own.count,
        target_mean=own.target_mean,
        mean=own.offset,
        basis=own.basis,
        variance=own.eigenvalues,
        change=None if shared is None else _change(own, shared),
    )


def _between(own: FoldAxes, shared: FoldAxes) -> Float[Tensor, "dim rank"]:
    """S_f S⁻¹ V: from shared coordinates to a fold's standardised features, but for a constant."""
    ratio = torch.where(shared.scale > 0, own.scale / shared.scale, 0.0)
    return ratio[:, None] * shared.basis


def _change(own: FoldAxes, shared: FoldAxes) -> Float[Tensor, "own columns"]:
    """Return the affine map from shared coordinates to a fold's, with a row and a column for the one."""
    rotation = own.basis.T @ _between(own, shared)
    away = own.basis.T @ (own.scale * (shared.mean - own.mean))
    change = rotation.new_zeros(len(rotation) + 1, rotation.shape[1] + 1)
    change[:-1, :-1], change[:-1, -1], change[-1, -1] = rotation, away, 1
    return change.float()
