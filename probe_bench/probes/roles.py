"""Which rows each fold trains on and chooses by, and an order of rows in which both are ranges."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["Roles", "Segment"]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A range of rows that the same folds train on, and the same folds choose by.

    Attributes:
        start: First row.
        stop: Row after the last.
        train: Folds that train on it.
        valid: Folds that choose by it.
    """

    start: int
    stop: int
    train: tuple[int, ...]
    valid: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The part that every row plays in every fold.

    Attributes:
        train: Rows that each fold trains on.
        valid: Rows that each fold chooses its strength by.
    """

    train: Bool[np.ndarray, "folds rows"]
    valid: Bool[np.ndarray, "folds rows"]

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.train)

    @cached_property
    def _alike(self) -> tuple[Bool[np.ndarray, "kinds roles"], Int[np.ndarray, " rows"]]:
        """The distinct roles, and which of them each row has."""
        return _distinct(np.concatenate([self.train, self.valid]))

    @cached_property
    def place(self) -> Int[Tensor, " rows"]:
        """Place of each row in the order in which rows of equal roles lie together."""
        place = np.empty(len(self._alike[1]), dtype=np.int64)
        place[np.argsort(self._alike[1], kind="stable")] = np.arange(len(place))
        return torch.from_numpy(place)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The ranges of that order."""
        kinds, kind = self._alike
        stops = np.bincount(kind, minlength=len(kinds)).cumsum().tolist()
        return tuple(
            Segment(
                start=start,
                stop=stop,
                train=tuple(np.flatnonzero(role[: self.n_folds]).tolist()),
                valid=tuple(np.flatnonzero(role[self.n_folds :]).tolist()),
            )
            for role, start, stop in zip(kinds, [0, *stops[:-1]], stops, strict=True)
        )

    @cached_property
    def unions(self) -> tuple[Bool[Tensor, "unions sets"], Int[Tensor, " rows"]]:
        """The folds' trains as unions of disjoint sets, and the set of each row.

        With several folds one more union holds all rows: the coordinates that they share. With one
        fold, rows that it does not train on are in no set (-1).
        """
        kinds, kind = _distinct(self.train)
        if self.n_folds > 1:
            every = np.ones((1, len(kinds)), dtype=bool)
            return torch.from_numpy(np.concatenate([kinds.T, every])), torch.from_numpy(kind)
        trained = torch.from_numpy(np.where(kinds[kind, 0], 0, -1))
        return torch.ones(1, 1, dtype=torch.bool), trained


def _distinct(
    roles: Bool[np.ndarray, "roles rows"],
) -> tuple[Bool[np.ndarray, "kinds roles"], Int[np.ndarray, " rows"]]:
    """Return the distinct columns, and which of them each column is."""
    packed = np.ascontiguousarray(np.packbits(roles, axis=0).T)
    keys, kind = np.unique(packed, axis=0, return_inverse=True)
    kinds = np.unpackbits(keys, axis=1, count=len(roles)).astype(bool)
    return kinds, kind.reshape(-1).astype(np.int64)
