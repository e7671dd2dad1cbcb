"""Independent pieces of a run side by side: the cores are shared out among pieces, not among operations.

The operations of a probe are small. Two threads that share one wait for each other at its end, which
gains little on an idle machine and costs up to ten times the work where another process has one of
the cores (docs/LOG.md). Pieces that share nothing never wait.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

__all__ = ["shared_out", "side_by_side", "width"]

_MOST = 4  # pieces at once: each holds the features of a solve in memory
_Result = TypeVar("_Result")


def width(device: torch.device, n_pieces: int) -> int:
    """Return how many pieces are done at once: one on a GPU, else as many as there are threads, up to 4."""
    if device.type != "cpu":
        return 1
    return max(1, min(torch.get_num_threads(), n_pieces, _MOST))


def side_by_side(pieces: Sequence[Callable[[], _Result]], device: torch.device) -> list[_Result]:
    """Do pieces of work that share no state, and return their results in order.

    Args:
        pieces: What to do; the first ones are begun first.
        device: Where they compute.

    Raises:
        Exception: What a piece raises, the first in order; those not begun yet are dropped then.
    """
    at_once = width(device, len(pieces))
    if at_once == 1:
        return [piece() for piece in pieces]
    with shared_out(at_once):
        pool = ThreadPoolExecutor(at_once)
        try:
            running = [pool.submit(piece) for piece in pieces]
            return [future.result() for future in running]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def shared_out(at_once: int) -> Iterator[None]:
    """Let operations use a share of the threads, in this thread and in those that begin meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // at_once))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
