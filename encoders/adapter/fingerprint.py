"""Digest of everything an encoder's features depend on."""

import hashlib
import json
from typing import Any

import torch
from torch import nn

__all__ = ["fingerprint"]


def fingerprint(model: nn.Module, settings: dict[str, Any]) -> str:
    """Return the sha256 of a model's weights and of its settings.

    Args:
        model: Every tensor of its state counts: name, type, shape and bytes, in order of name.
        settings: Preprocessing and architecture, as far as the weights' shapes don't show it; JSON.
    """
    total = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(
            memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        )
    return total.hexdigest()
