"""Room for matrices that may be larger than memory."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.errors import UserError

__all__ = ["Room"]

_PINNED_BYTES = 8 << 30  # host memory that one matrix may pin for a GPU
_CPU_BYTES = 1 << 30
_GPU_SHARE = 4  # of the GPU's memory; the cached features have their own part


@dataclass(frozen=True, kw_only=True)
class Room:
    """Where the features of a solve are put: beside the solver while they fit, else in a file.

    Attributes:
        budget_bytes: Memory for features on the device of the solve; by default 1 GiB on a CPU and a
            quarter of a GPU's memory.
        folder: Where scratch files are made; the platform's temporary folder if None.
    """

    budget_bytes: int | None = None
    folder: Path | None = None

    def budget(self, device: torch.device) -> int:
        """Return the bytes that features may take on a device."""
        if self.budget_bytes is not None:
            return self.budget_bytes
        if device.type == "cuda":
            total: int = torch.cuda.get_device_properties(device).total_memory
            return total // _GPU_SHARE
        return _CPU_BYTES

    def empty(
        self, rows: int, columns: int, device: torch.device
    ) -> Float[Tensor, "{rows} {columns}"]:
        """Return a float32 matrix to fill: on the device, in pinned host memory, or in a file.

        The file has no name any more when this returns: it goes with the tensor, however the
        process ends, and the system pages it in and out.

        Raises:
            UserError: If the disk has no room for the file.
        """
        n_bytes = 4 * rows * columns
        if n_bytes <= self.budget(device):
            return torch.empty(rows, columns, device=device)
        if device.type == "cuda" and n_bytes <= _PINNED_BYTES:
            return torch.empty(rows, columns, pin_memory=True)
        return self._in_file(rows * columns).view(rows, columns)

    def _in_file(self, size: int) -> Float[Tensor, " {size}"]:
        folder = self.folder or Path(tempfile.gettempdir())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(prefix="probe-bench-", suffix=".scratch", dir=folder)
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written to ({error.strerror}); features that exceed memory "
                "need it, so point --cache at a writable folder"
            ) from error
        try:
            os.posix_fallocate(handle, 0, 4 * size)  # a full disk now, not a killed process later
            return torch.from_file(path, shared=True, size=size, dtype=torch.float32)
        except OSError as error:
            raise UserError(
                f"{folder}: no room for {4 * size / 1e9:.1f} GB of features that exceed memory "
                f"({error.strerror}); point --cache at a larger disk or lower --train-frames"
            ) from error
        finally:
            os.close(handle)
            Path(path).unlink()
