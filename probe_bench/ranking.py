"""Sums of weighted units in the order of their scores, for many problems and resamples at once.

A *problem* is one ranking of the units with its own members: one class as one layer scores it. A
resample weights units by *cell*: all units of one cluster (all trials between one pair of clusters)
weigh the same. So the weight of any stretch of a ranking is a sum of rows of one small table,
`cells rows` (a row of the metric is a resample). `torch.embedding_bag` makes that sum at a tenth of
a nanosecond a unit and resample or less, where gathering the weight of every unit and summing along
it takes ten. Weights are whole numbers, so their float32 sums are exact (`exact_dtype`).

Metrics that look only at thresholds where a member is let in need one stretch a member: `Sweep`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Stretches", "Sweep", "Sweeps", "exact_dtype", "running_sum", "ties"]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Weight let in as the threshold falls from member to member, highest score first.

    Members of equal score are let in together: their weight stands at the first of them. Problems
    with fewer members than others are padded by steps that let in no member.

    Attributes:
        hits: Members let in at each step.
        found: Members let in so far.
        false: Non-members let in so far.
        tied: Non-members that tie with the members of the step; None where no problem has any.
        members: All members.
        others: All non-members.
    """

    hits: Float[Tensor, "problems steps rows"]
    found: Float[Tensor, "problems steps rows"]
    false: Float[Tensor, "problems steps rows"]
    tied: Float[Tensor, "problems steps rows"] | None
    members: Float[Tensor, "problems rows"]
    others: Float[Tensor, "problems rows"]


@dataclass(frozen=True, kw_only=True)
class Stretches:
    """Units of every problem in stretches, to be summed by the weights of their cells."""

    cell: Int[Tensor, " listed"]
    start: Int[Tensor, " stretches_1"]
    shape: tuple[int, int]

    def sums(
        self, weights: Float[Tensor, "cells rows"]
    ) -> Float[Tensor, "problems stretches rows"]:
        """Sum the weights of each stretch; `weights` must be contiguous."""
        flat = torch.nn.functional.embedding_bag(
            self.cell, weights, self.start, mode="sum", include_last_offset=True
        )
        return flat.view(*self.shape, -1)

    @classmethod
    def of(
        cls,
        listed: Bool[Tensor, "problems units"],
        step: Int[Tensor, "problems units"],
        cell: Int[Tensor, "problems units"],
        n_steps: int,
    ) -> "Stretches":
        """List the units of each step; steps must not fall along the units of a problem."""
        n_problems = len(step)
        first = torch.arange(n_problems, device=step.device)[:, None] * n_steps
        places = torch.arange(n_problems * n_steps + 1, device=step.device)
        start = torch.searchsorted((first + step)[listed], places)
        return cls(cell=cell[listed], start=start, shape=(n_problems, n_steps))


class Sweeps:
    """The ranking of all problems, laid out once; weights of any resamples then run through it."""

    def __init__(
        self,
        scores: Float[Tensor, "problems units"],
        member: Bool[Tensor, "problems units"],
        cell: Int[Tensor, " units"],
    ) -> None:
        ranked, order = scores.sort(dim=1, descending=True)
        member, cell = member.gather(1, order), cell[order]
        first, last = ties(ranked)
        so_far = member.cumsum(1)
        above = (so_far - member.long()).gather(1, first)  # members of strictly higher score
        n_steps = max(int(member.sum(1).max()), 1)
        tied = ~member & (so_far.gather(1, last) > above)
        self._hits = Stretches.of(member, above, cell, n_steps)
        # One stretch more: the non-members below the last member.
        self._misses = Stretches.of(~member, above, cell, n_steps + 1)
        self._tied = Stretches.of(tied, above, cell, n_steps) if bool(tied.any()) else None

    def __call__(self, weights: Float[Tensor, "cells rows"]) -> Sweep:
        """Sweep a block of resamples."""
        hits = self._hits.sums(weights)
        found = running_sum(hits.clone())
        false = running_sum(self._misses.sums(weights))
        return Sweep(
            hits=hits,
            found=found,
            false=false[:, :-1],
            tied=self._tied.sums(weights) if self._tied else None,
            members=found[:, -1],
            others=false[:, -1],
        )


def ties(
    ranked: Float[Tensor, "problems units"],
) -> tuple[Int[Tensor, "problems units"], Int[Tensor, "problems units"]]:
    """First and last place of equal score, for each place of sorted scores."""
    n = ranked.shape[1]
    place = torch.arange(n, device=ranked.device).expand_as(ranked)
    edge = torch.ones_like(ranked[:, :1], dtype=torch.bool)
    differs = ranked[:, 1:] != ranked[:, :-1]
    first = torch.where(torch.cat([edge, differs], 1), place, 0).cummax(1).values
    backwards = torch.where(torch.cat([differs, edge], 1), n - 1 - place, 0).flip(1)
    return first, n - 1 - backwards.cummax(1).values.flip(1)


def running_sum(x: Float[Tensor, "problems steps rows"]) -> Float[Tensor, "problems steps rows"]:
    """Sum along the steps, in place.

    By whole rows, which are contiguous (`torch.cumsum` walks a column at a time, five times slower
    on a CPU): first within blocks of √steps, then from block to block.
    """
    steps = x.shape[1]
    size = math.isqrt(steps)
    whole = steps // size * size
    blocks = x[:, :whole].view(len(x), -1, size, x.shape[2])
    for k in range(1, size):
        blocks[:, :, k] += blocks[:, :, k - 1]
    for k in range(1, blocks.shape[1]):
        blocks[:, k] += blocks[:, k - 1, -1:]
    for k in range(whole, steps):
        x[:, k] += x[:, k - 1]
    return x


def exact_dtype(heaviest: float) -> torch.dtype:
    """Return the type whose sums of whole and half numbers up to `heaviest` are exact."""
    return torch.float32 if heaviest < 1 << 23 else torch.float64
