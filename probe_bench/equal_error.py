"""Equal error rate of all layers and resamples at once.

From the lowest threshold up, false acceptance less false rejection only falls: the closest pair of
rates stands just before or just after it reaches zero. That place is sought among sums over blocks
of √trials, then among the trials of one block, so few weights are looked at one by one.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe_bench.ranking import Stretches, running_sum, ties

__all__ = ["EqualErrorRate"]


class EqualErrorRate:
    """Mean of false rejection and false acceptance where they are closest.

    Rates change only at scores, so the thresholds at distinct scores (reject if score <= threshold)
    see every pair of rates that the candidate thresholds of speechbrain's `EER` see; the lowest of
    equally close thresholds wins, as there. NaN where a resample has no target or no other trial.
    """

    def __init__(
        self,
        scores: Float[Tensor, "layers trials"],
        same: Bool[Tensor, " trials"],
        cell: Int[Tensor, " trials"],
    ) -> None:
        """Sort the trials of all layers once.

        Args:
            scores: Higher is more alike.
            same: Target trials.
            cell: Row of the table of weights that each trial takes its weight from.
        """
        n_layers, n = scores.shape
        self._size = math.isqrt(n)
        n_blocks = n // self._size + 1  # so that any number of trials ends in a block
        ranked, order = scores.sort(dim=1)
        self._nothing = int(cell.max()) + 1  # a cell without weight: pads, and hides the other kind
        cells = torch.full((2, n_layers, n_blocks * self._size), self._nothing, device=cell.device)
        for kind, is_kind in enumerate((same, ~same)):
            cells[kind, :, :n] = torch.where(is_kind[order], cell[order], self._nothing)
        self._cells = cells.view(2, n_layers, n_blocks, self._size)
        first, last = ties(ranked)
        self._before, self._after = first, last + 1  # trials rejected below and at each score

    def __call__(self, weights: Float[Tensor, "cells rows"]) -> Float[Tensor, "layers rows"]:
        """Measure a block of resamples."""
        weights = torch.cat([weights[: self._nothing], torch.zeros_like(weights[:1])])
        ends = running_sum(self._block_sums(weights)).view(*self._cells.shape[:3], -1)
        total = ends[:, :, -1].double()
        starts = torch.nn.functional.pad(ends, (0, 0, 1, 0))

        crossing = _still_accepting(ends, total[:, :, None]).sum(1)
        within = self._weights_of(crossing, weights).cumsum(3) + _at(starts, crossing)[..., None]
        in_block = _still_accepting(within, total[..., None]).sum(2)
        trial = (crossing * self._size + in_block).clamp(max=self._before.shape[1] - 1)

        rates = []
        for n_rejected in (self._before.gather(1, trial), self._after.gather(1, trial)):
            block, rest = n_rejected // self._size, n_rejected % self._size
            counted = torch.arange(self._size, device=rest.device) < rest[..., None]
            part = (self._weights_of(block, weights) * counted).sum(3)
            rates.append(_rates(_at(starts, block) + part, total))
        (rejection, acceptance), (rejection_after, acceptance_after) = rates
        closer = (acceptance - rejection).abs() <= (acceptance_after - rejection_after).abs()
        # Rejecting nothing is no threshold.
        first = closer & (self._before.gather(1, trial) > 0)
        return torch.where(first, rejection + acceptance, rejection_after + acceptance_after) / 2

    def _block_sums(self, weights: Float[Tensor, "cells rows"]) -> Float[Tensor, "_ blocks rows"]:
        start = torch.arange(0, self._cells.numel() + 1, self._size, device=weights.device)
        shape = (self._cells.shape[0] * self._cells.shape[1], self._cells.shape[2])
        return Stretches(cell=self._cells.flatten(), start=start, shape=shape).sums(weights)

    def _weights_of(
        self, block: Int[Tensor, "layers rows"], weights: Float[Tensor, "cells rows"]
    ) -> Float[Tensor, "2 layers rows size"]:
        """Look up the trials of one block a layer and resample, of both kinds."""
        layer = torch.arange(len(block), device=block.device)[:, None]
        row = torch.arange(block.shape[1], device=block.device)[:, None]
        return weights[self._cells[:, layer, block], row]


def _at(
    starts: Float[Tensor, "2 layers blocks rows"], block: Int[Tensor, "layers rows"]
) -> Float[Tensor, "2 layers rows"]:
    """Weight rejected before a block."""
    return starts.gather(2, block.expand(2, -1, -1)[:, :, None])[:, :, 0]


def _rates(
    rejected: Float[Tensor, "2 layers ..."], total: Float[Tensor, "2 layers ..."]
) -> tuple[Float[Tensor, "layers ..."], Float[Tensor, "layers ..."]]:
    """False rejection of targets, false acceptance of the others."""
    shares = rejected.double() / total
    return shares[0], 1 - shares[1]


def _still_accepting(
    rejected: Float[Tensor, "2 layers ..."], total: Float[Tensor, "2 layers ..."]
) -> Bool[Tensor, "layers ..."]:
    """Say where more others are accepted than targets are rejected."""
    rejection, acceptance = _rates(rejected, total)
    return acceptance > rejection
