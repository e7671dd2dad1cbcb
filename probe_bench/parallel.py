"""Independent pieces of a run side by side: the cores are shared out among pieces, not among operations.

The operations of a probe are small. Two threads that share one wait for each other at its end, which
gains little on an idle machine and costs up to ten times the work where another process has one of
the cores (docs/LOG.md). Pieces that share nothing never wait.
"""

import ctypes
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
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
        Exception: What a piece raises; all others are dropped or stopped then.
    """
    at_once = width(device, len(pieces))
    if at_once == 1:
        return [piece() for piece in pieces]
    busy: set[int] = set()  # threads

    def tracked(piece: Callable[[], _Result]) -> _Result:
        busy.add(threading.get_ident())
        try:
            return piece()
        finally:
            busy.discard(threading.get_ident())

    with shared_out(at_once), ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(tracked, piece) for piece in pieces]
        try:
            for done in as_completed(running):
                done.result()  # raises what the piece raised
            return [future.result() for future in running]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _interrupt(tuple(busy))
            raise


@contextmanager
def shared_out(at_once: int) -> Iterator[None]:
    """Let operations use a share of the threads, in this thread and in those that begin meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // at_once))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _interrupt(threads: Iterable[int]) -> None:
    """Raise KeyboardInterrupt in threads, where they come back from the operation in hand.

    Nothing in the standard library ends a thread, and a piece may have minutes to go.
    """
    for ident in threads:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(ident), ctypes.py_object(KeyboardInterrupt)
        )
