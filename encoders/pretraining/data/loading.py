"""Batches made ahead of the training loop, by worker processes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from probe_bench.errors import UserError

__all__ = ["prefetched"]

T = TypeVar("T")


@dataclass(frozen=True)
class _Refusal:
    """An error of the user's, carried home whole: the loader would wrap it in a traceback."""

    error: UserError


@dataclass(frozen=True)
class _Batches(Dataset["T | _Refusal"], Generic[T]):
    """Batches by step."""

    make: Callable[[int], T]

    def __getitem__(self, step: int) -> T | _Refusal:
        try:
            return self.make(step)
        except UserError as error:
            return _Refusal(error)


def prefetched(
    make: Callable[[int], T], steps: range, *, workers: int, pin: bool = False
) -> Iterator[T]:
    """Yield `make(step)` for every step, in order, whoever makes it.

    Worker processes (one torch thread each) make two batches ahead, whole steps by turns. As
    `make` depends on the step alone, their number changes nothing but the speed. The global random
    state stays as it is.

    Args:
        make: Makes the batch of a step; must be picklable where processes are not forked, and must
            leave CUDA alone.
        steps: First to last.
        workers: Processes; 0 makes every batch here, when it is asked for.
        pin: Put tensors in page-locked memory, for copies that do not wait; looks into tuples,
            dicts, and objects with `pin_memory()`. Without CUDA nothing happens.

    Raises:
        UserError: As `make` raised it.
    """
    loader = DataLoader(
        _Batches(make),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin and torch.cuda.is_available(),
        generator=torch.Generator(),  # else every start would draw from the global one
    )
    for batch in loader:
        if isinstance(batch, _Refusal):
            raise batch.error
        yield batch


def _as_it_is(batch: T) -> T:
    return batch
