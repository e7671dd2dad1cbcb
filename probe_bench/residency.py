"""Keep tensors as near to the device as a byte budget allows: GPU, then pinned host memory, then disk."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["Residency", "default_budget"]


@dataclass
class _Tier:
    """Tensors of one kind of memory, least recently used first."""

    budget_bytes: int
    used_bytes: int = 0
    held: OrderedDict[Hashable, Tensor] = field(default_factory=OrderedDict)

    def put(self, key: Hashable, tensor: Tensor) -> list[tuple[Hashable, Tensor]]:
        """Hold a tensor and return what had to leave for it (the tensor itself if too large)."""
        size = tensor.numel() * tensor.element_size()
        if size > self.budget_bytes:
            return [(key, tensor)]
        self.held[key] = tensor
        self.used_bytes += size
        evicted = []
        while self.used_bytes > self.budget_bytes:
            evicted.append(self.held.popitem(last=False))
            self.used_bytes -= evicted[-1][1].numel() * evicted[-1][1].element_size()
        return evicted

    def get(self, key: Hashable) -> Tensor | None:
        """Return a held tensor and mark it as recently used."""
        if key in self.held:
            self.held.move_to_end(key)
        return self.held.get(key)


class Residency:
    """A two-tier cache of tensors in front of a loader that reads the disk.

    On a GPU the first tier is device memory and the second pinned host memory; tensors that leave
    the first move to the second, and those that leave the second are read from disk again. On a CPU
    there is one tier. Threads may share it.

    Args:
        device: Where tensors are wanted.
        device_bytes: Budget on the device.
        host_bytes: Budget of the pinned second tier; unused on a CPU.
    """

    def __init__(self, device: torch.device, device_bytes: int, host_bytes: int = 0) -> None:
        self.device = device
        self._near = _Tier(device_bytes)
        self._far = _Tier(host_bytes if device.type == "cuda" else 0)
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: Callable[[], Tensor]) -> Tensor:
        """Return the tensor named `key` on the device, from `load` if it is not held."""
        with self._lock:  # a load maps a file: it takes no time that would be worth sharing
            near = self._near.get(key)
            if near is not None:
                return near
            far = self._far.get(key)
            tensor = (load() if far is None else far).to(self.device, non_blocking=True)
            for name, leaving in self._near.put(key, tensor):
                if self._far.budget_bytes and self._far.get(name) is None:
                    self._far.put(name, leaving.cpu().pin_memory())
            return tensor


def default_budget(device: torch.device) -> tuple[int, int]:
    """Return (device, host) budgets: 60 % of free GPU memory and 8 GiB pinned, or 4 GiB on a CPU."""
    if device.type == "cuda":
        return int(0.6 * torch.cuda.mem_get_info(device)[0]), 8 << 30
    return 4 << 30, 0
