"""First and second moments of features in one reading, shared by all folds.

Rows fall into disjoint *sets* (those that the same folds train on). Sums over a set are taken once, in
float64, and a fold's sums are those of its sets added up: ten folds cost one pass and one Gram matrix,
whatever their number. Memory is `sets x dim²`, whatever the number of rows.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe_bench.probes.blocks import Blocks

__all__ = ["Moments", "coded", "measure_moments"]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Sums over sets of rows x with targets t (float64).

    All are taken about one shift near the mean, so that no digits go where |mean| >> deviation.

    Attributes:
        shift: Taken from every row.
        count: Number of rows.
        total: Σ (x - shift).
        gram: Σ (x - shift)(x - shift)ᵀ.
        cross: Σ (x - shift) tᵀ.
        target: Σ t.
        square: Σ t², for the size of residuals.
        largest: max |x|.
    """

    shift: Float[Tensor, " dim"]
    count: Float[Tensor, " sets"]
    total: Float[Tensor, "sets dim"]
    gram: Float[Tensor, "sets dim dim"]
    cross: Float[Tensor, "sets dim targets"]
    target: Float[Tensor, "sets targets"]
    square: Float[Tensor, "sets targets"]
    largest: Float[Tensor, "sets dim"]

    def united(self, members: Bool[Tensor, "unions sets"]) -> "Moments":
        """Return the moments of unions of sets, e.g. of what each fold trains on."""
        inside = members.to(self.gram.device)
        weight = inside.double()

        def add(sums: Tensor) -> Tensor:
            added: Tensor = torch.tensordot(weight, sums, 1)
            return added

        return Moments(
            shift=self.shift,
            count=add(self.count),
            total=add(self.total),
            gram=add(self.gram),
            cross=add(self.cross),
            target=add(self.target),
            square=add(self.square),
            largest=(inside[:, :, None] * self.largest).amax(1),
        )


def coded(targets: Tensor, n_targets: int) -> Float[Tensor, "rows targets"]:
    """Return class indices as one-hot rows, and real or 0/1 targets as they are (float64)."""
    if targets.dim() == 2:
        return targets.double()
    return torch.nn.functional.one_hot(targets, n_targets).double()


def measure_moments(
    x: Blocks, sets: Int[Tensor, " rows"], n_sets: int, targets: Tensor, n_targets: int
) -> Moments:
    """Read all rows once and sum them by set.

    Args:
        x: Features.
        sets: Set of each row; negative for rows that belong to none.
        n_sets: Number of sets.
        targets: Class index of each row, or `rows targets`.
        n_targets: Number of classes or targets.
    """
    shift: Tensor | None = None
    sums = _nothing(n_sets, x.shape[1], n_targets, x.device)
    for places, block in x:
        which = sets[places]
        if shift is None:
            shift = block.double().mean(0)
        for number in torch.unique(which).tolist():
            if number < 0:
                continue
            inside = (which == number).to(block.device)
            rows = block if bool((which == number).all()) else block[inside]
            t = coded(targets[places[which == number]].to(x.device), n_targets)
            _add(sums, number, rows, shift, t)
    assert shift is not None, "no rows"
    return Moments(shift=shift, **sums)


def _nothing(sets: int, dim: int, targets: int, device: torch.device) -> dict[str, Tensor]:
    shapes = {
        "count": (),
        "total": (dim,),
        "gram": (dim, dim),
        "cross": (dim, targets),
        "target": (targets,),
        "square": (targets,),
        "largest": (dim,),
    }
    return {
        name: torch.zeros(sets, *shape, dtype=torch.float64, device=device)
        for name, shape in shapes.items()
    }


def _add(
    sums: dict[str, Tensor],
    number: int,
    x: Float[Tensor, "rows dim"],
    shift: Float[Tensor, " dim"],
    t: Float[Tensor, "rows targets"],
) -> None:
    """Add some rows to the sums of one set."""
    sums["largest"][number] = torch.maximum(sums["largest"][number], x.abs().amax(0).double())
    moved = x.to(torch.float64, copy=True).sub_(shift)
    sums["count"][number] += len(x)
    sums["total"][number] += moved.sum(0)
    sums["gram"][number].addmm_(moved.T, moved)
    sums["cross"][number].addmm_(moved.T, t)
    sums["target"][number] += t.sum(0)
    sums["square"][number] += t.square().sum(0)
