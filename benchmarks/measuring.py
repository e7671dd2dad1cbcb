"""What the benchmarks of the probe solvers share: made-up features, seconds, peak memory."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.standardise import fit_standardiser

__all__ = ["measured", "phone_like", "product_rate"]

T = TypeVar("T")


def phone_like(
    seed: int, samples: int, dim: int, classes: int, separation: float = 0.35
) -> tuple[Float[Tensor, "samples dim"], Int[Tensor, " samples"]]:
    """Correlated features, uneven classes and class-dependent spread, standardised."""
    g = torch.Generator().manual_seed(seed)
    prior = torch.softmax(0.8 * torch.randn(classes, generator=g), 0)
    y = torch.multinomial(prior, samples, replacement=True, generator=g)
    y[:classes] = torch.arange(classes)
    spectrum = torch.arange(1, dim + 1) ** -0.7
    centre = separation * torch.randn(classes, dim, generator=g)
    spread = 0.6 + 0.8 * torch.rand(classes, generator=g)
    x = (centre[y] + spread[y, None] * torch.randn(samples, dim, generator=g)) * spectrum
    x = x @ torch.linalg.qr(torch.randn(dim, dim, generator=g))[0]
    return fit_standardiser(x)(x), y


def measured(work: Callable[[], T], device: torch.device) -> tuple[T, float, float]:
    """Run and return the result, seconds, and the GB that memory rose by at its peak.

    On a CPU seconds are those of the process, which other work on the machine changes little, and
    memory is what the system counts as resident (Linux); on a GPU it is wall time and what torch holds.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before, start = torch.cuda.memory_allocated(device), time.perf_counter()
        result = work()
        torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
        return result, seconds, (torch.cuda.max_memory_allocated(device) - before) / 1e9
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start = _status("VmRSS"), time.process_time()
    result = work()
    return result, time.process_time() - start, (_status("VmHWM") - before) / 1e9


def _status(name: str) -> int:
    line = Path("/proc/self/status").read_text().split(f"{name}:")[1]
    return 1024 * int(line.split()[0])


def product_rate(samples: int, dim: int, classes: int, device: torch.device) -> float:
    """Measure the float32 matrix-product rate at the solver's own shape, in 1e9 flop/s."""
    x, w = torch.randn(samples, dim, device=device), torch.randn(classes, dim, device=device)
    w @ x.T

    def products() -> None:
        for _ in range(20):
            (w @ x.T) @ x

    _, seconds, _ = measured(products, device)
    return 20 * 4 * x.numel() * classes / seconds / 1e9
