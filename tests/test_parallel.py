"""Pieces of work side by side: order, threads, failures."""

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from probe_bench.parallel import shared_out, side_by_side, width

CPU = torch.device("cpu")


@pytest.fixture
def four_threads() -> Iterator[None]:
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("four_threads")
def test_results_are_in_order_whatever_ends_first() -> None:
    later = threading.Event()

    def first() -> int:
        assert later.wait(10)  # hangs unless the second is done meanwhile
        return 1

    def second() -> int:
        later.set()
        return 2

    assert side_by_side([first, second], CPU) == [1, 2]


@pytest.mark.usefixtures("four_threads")
def test_threads_are_shared_out_and_given_back() -> None:
    assert side_by_side([torch.get_num_threads] * 2, CPU) == [2, 2]
    with shared_out(3):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_as_many_at_once_as_there_are_threads_but_one_on_a_gpu() -> None:
    assert [width(CPU, n) for n in (0, 1, 3, 9)] == [1, 1, 3, 4]
    assert width(torch.device("cuda"), 9) == 1


@pytest.mark.usefixtures("four_threads")
def test_a_failure_stops_what_is_running() -> None:
    begun, stopped = threading.Event(), threading.Event()

    def endless() -> None:
        begun.set()
        try:
            while True:
                time.sleep(0.001)
        finally:
            stopped.set()

    def failing() -> None:
        assert begun.wait(10)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        side_by_side([endless, failing], CPU)
    assert stopped.is_set()


@pytest.mark.usefixtures("four_threads")
def test_a_failure_drops_what_is_not_begun() -> None:
    begun = []

    def piece(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)
        if number == 0:
            raise ValueError(f"piece {number}")

    with pytest.raises(ValueError, match="piece 0"):
        side_by_side([partial(piece, number) for number in range(500)], CPU)
    assert len(begun) < 500
