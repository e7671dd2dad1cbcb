"""The process group that `torchrun` asks for."""

import contextlib
import gc
import os
from collections.abc import Iterator

import torch
from torch import distributed as dist

__all__ = ["process_group"]


@contextlib.contextmanager
def process_group(device: str) -> Iterator[str]:
    """Join the other processes of a `torchrun`, if there are any; yield this one's device.

    Args:
        device: `cpu` or `cuda`; every process gets the GPU of its local rank.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    cuda = device.startswith("cuda")
    if cuda:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    # Numbers that the CPU knows, rows and verdicts, travel without waiting for the GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield device
        dist.barrier()  # nobody leaves while another still talks
    finally:
        gc.collect()  # models in reference cycles would hold the group's threads beyond its end
        dist.destroy_process_group()
