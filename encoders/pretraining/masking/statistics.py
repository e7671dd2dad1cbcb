"""What masks really hide: visible share, target shares and the lengths of hidden gaps."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from probe_bench.encoders.pretraining.masking.masks import Grid

__all__ = ["MaskStatistics", "hidden_runs", "mask_statistics"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskStatistics:
    """What the masks of some batches really did.

    Attributes:
        visible_fraction: Share of tokens that the context encoder sees.
        group_fraction: Share of tokens in one target group.
        target_fraction: Share of tokens in any target group.
        hidden_run_ms: Mean length of a hidden stretch of time in one band.
        histogram_ms: Number of hidden stretches by their length in ms.
    """

    visible_fraction: float
    group_fraction: float
    target_fraction: float
    hidden_run_ms: float
    histogram_ms: dict[float, int]


def mask_statistics(
    context: Bool[Tensor, "rows tokens"],
    targets: Bool[Tensor, "rows groups tokens"],
    grid: Grid,
    frame_rate_hz: float,
) -> MaskStatistics:
    """Measure realised masks; lengths are in ms of signal at `frame_rate_hz`."""
    runs = hidden_runs(context, grid)
    lengths, counts = np.unique(runs, return_counts=True)
    frame_ms = 1000 / frame_rate_hz
    return MaskStatistics(
        visible_fraction=context.float().mean().item(),
        group_fraction=targets.float().mean().item(),
        target_fraction=targets.any(1).float().mean().item(),
        hidden_run_ms=float(runs.mean()) * frame_ms if len(runs) else 0.0,
        histogram_ms={float(n) * frame_ms: int(c) for n, c in zip(lengths, counts, strict=True)},
    )


def hidden_runs(context: Bool[Tensor, "rows tokens"], grid: Grid) -> np.ndarray:
    """Return the length in frames of every maximal hidden stretch within one band."""
    rows = context.reshape(-1, grid.frames, grid.bands).transpose(1, 2).reshape(-1, grid.frames)
    # Visible guards on both sides turn every hidden run into one falling and one rising edge.
    padded = np.pad((~rows).numpy().astype(np.int8), ((0, 0), (1, 1)))
    edges = np.diff(padded, axis=1)
    starts, ends = np.nonzero(edges == 1)[1], np.nonzero(edges == -1)[1]
    lengths: np.ndarray = ends - starts
    return lengths
