"""What benchmarks measure: seconds, peak memory, operations, and how fast a machine can multiply."""

import contextlib
import ctypes
import gc
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Operations", "Seconds", "finish", "peak_memory", "product_rate", "timed"]


class Seconds(NamedTuple):
    """How long some work took."""

    wall: float
    cpu: float


def timed(work: Callable[[], object], device: str) -> Seconds:
    """Time some work, until the device is done."""
    finish(device)
    start, cpu = time.perf_counter(), time.process_time()
    work()
    finish(device)
    return Seconds(time.perf_counter() - start, time.process_time() - cpu)


def finish(device: str) -> None:
    """Wait for the device."""
    if device != "cpu":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def peak_memory(device: str) -> Iterator[Callable[[], float]]:
    """Yield a function that gives the largest use of memory since the beginning, in MiB."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device) / 2**20
        return
    if sys.platform != "linux":
        yield lambda: float("nan")
        return
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not hide what is used now
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = _status_mib("VmRSS")
    yield lambda: _status_mib("VmHWM") - before


def _status_mib(name: str) -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if name in x)
    return int(line.split()[1]) / 2**10


def product_rate(device: str, precision: str) -> float:
    """Operations a second of a product of two square matrices, the best of several."""
    size = 1024 if device == "cpu" else 8192
    a = torch.randn(size, size, device=device, dtype=getattr(torch, precision))
    seconds = [timed(lambda: a @ a, device).wall for _ in range(20)]
    return 2 * size**3 / min(seconds)


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count what torch's own formulas say; its `FlopCounterMode` fails on modules called without gradient."""

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        self.total += formula(*args, **(kwargs or {}), out_val=out) if formula else 0
        return out
