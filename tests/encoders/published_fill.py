"""Deterministic stand-ins for published weights and audio: equal on every machine, no file needed.

Value i of a tensor is a hash of the tensor's name and of i, so that a swapped, transposed or
repeated tensor shows in the outputs.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["describe", "fill", "fill_all", "golden", "unfold_names", "waveform"]


def fill(name: str, shape: Sequence[int]) -> Tensor:
    """Fill one tensor.

    Gains (`norm`, one axis) are 1 +- 0.2, other one-axis tensors +- 0.2, position tables and mask
    tokens +- 1; matrices and kernels have variance 1 / fan-in.
    """
    uniform = _uniform(name, int(np.prod(shape))).reshape(shape)
    if len(shape) == 1:
        values = 0.2 * uniform + float(name.endswith("weight"))
    elif shape[0] == 1 and len(shape) == 3:
        values = uniform
    else:
        values = uniform * np.sqrt(3 / np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def fill_all(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Fill every tensor of a state dict."""
    return {name: fill(name, shape) for name, shape in shapes.items()}


def _uniform(name: str, count: int) -> np.ndarray:
    """Draw from [-1, 1): the splitmix64 hash of (crc32 of the name, index)."""
    x = np.arange(count, dtype=np.uint64) + (np.uint64(zlib.crc32(name.encode())) << np.uint64(32))
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) / 2**52 - 1


def waveform(channels: int, samples: int, sample_rate_hz: int) -> Tensor:
    """Sum four sines and hashed noise a channel, `channels samples`; the level rises and falls.

    Without the noise most mel bands would hold rounding errors only.
    """
    time = np.arange(samples) / sample_rate_hz
    rows = []
    for channel in range(channels):
        tones = [
            np.sin(2 * np.pi * hz * (1 + 0.003 * channel) * time + channel) / (n + 1)
            for n, hz in enumerate((220.0, 554.3, 1318.5, 3729.3))
        ]
        envelope = 0.2 + 0.15 * np.sin(2 * np.pi * 1.7 * time)
        noise = 0.1 * _uniform(f"noise {channel}", samples)
        rows.append(envelope * (np.sum(tones, axis=0) + noise))
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def unfold_names(
    shapes: Mapping[str, Sequence[int]], depths: Mapping[str, int]
) -> dict[str, tuple[int, ...]]:
    """Write out the blocks: `encoder.layers.{n}.norm1.bias` stands for `depths["encoder"]` tensors."""
    names: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        blocks = range(depths[name.partition(".")[0]]) if "{n}" in name else range(1)
        names |= {name.replace("{n}", str(block)): tuple(shape) for block in blocks}
    return names


def golden(name: str) -> dict[str, Any]:
    """Read the authors' numbers; `about` in the file says how they were made."""
    path = Path(__file__).parent / "golden" / f"published-{name}.json"
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def describe(x: Tensor, name: str, count: int) -> dict[str, Any]:
    """Return the numbers that stand for one tensor in the golden files."""
    flat = x.reshape(-1).double().numpy()
    at = np.linspace(0, len(flat) - 1, count).round().astype(int)
    return {
        "size": len(flat),
        "mean": flat.mean(),
        "std": flat.std(),
        "peak": np.abs(flat).max(),
        # Any changed, moved or swapped element changes this one.
        "projection": (flat * _uniform(name, len(flat))).sum() / len(flat) ** 0.5,
        "values": flat[at],
    }
