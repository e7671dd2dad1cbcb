"""Mask samplers: which tokens the context encoder sees and which ones are predicted.

A sampler draws over a grid of `frames x bands` tokens in time-major order (token `t * bands + f`),
so waveform systems (one band) and patch systems share one interface. Nominal spans mislead: overlap
lengthens them, therefore `mask_statistics` measures what was really hidden.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = [
    "Grid",
    "MaskSampler",
    "MaskStatistics",
    "Masks",
    "PatchMasks",
    "Selection",
    "SpanMasks",
    "hidden_runs",
    "mask_statistics",
    "select",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Token grid of one crop; `bands` is 1 where tokens have no frequency axis."""

    frames: int
    bands: int = 1

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return self.frames * self.bands


@dataclass(frozen=True, kw_only=True, slots=True)
class Masks:
    """One batch of masks.

    Attributes:
        context: True where the context encoder sees the token.
        targets: True where a group's token is predicted; groups are decoded separately.
    """

    context: Bool[Tensor, "batch tokens"]
    targets: Bool[Tensor, "batch groups tokens"]


@runtime_checkable
class MaskSampler(Protocol):
    """Configuration of a sampler; the same generator state gives the same masks."""

    def sample(self, batch: int, grid: Grid, rng: np.random.Generator) -> Masks:
        """Draw the masks of one batch."""
        ...


@dataclass(frozen=True, kw_only=True)
class SpanMasks:
    """WavJEPA's time spans (arXiv 2509.23238, published masker).

    Each of `groups` target groups is the union of `int(p * N / span + U)` spans whose starts are
    drawn without replacement from [0, N - span); spans may overlap. The context is the *complement*
    of a further set of spans, less every group's targets, drawn again until at least `min_context`
    of the frames are visible. After `max_draws` failures the last draw with any visible frame
    stands, so that a hopeless setting is slow but not endless.

    Attributes:
        span: Frames in a span.
        groups: Target groups.
        target_probability: Expected share of frames covered by one group, overlaps counted twice.
        context_probability: The same for the spans taken *out* of the context.
        min_context: Least share of visible frames.
        max_draws: Attempts for one sample.
    """

    span: int = 10
    groups: int = 4
    target_probability: float = 0.25
    context_probability: float = 0.65
    min_context: float = 0.1
    max_draws: int = 1000

    def sample(self, batch: int, grid: Grid, rng: np.random.Generator) -> Masks:
        """Draw spans for a grid; a span covers all bands of its frames."""
        drawn = [self._sample_one(grid.frames, rng) for _ in range(batch)]
        context = np.repeat(np.stack([c for c, _ in drawn]), grid.bands, axis=-1)
        targets = np.repeat(np.stack([t for _, t in drawn]), grid.bands, axis=-1)
        return Masks(context=torch.from_numpy(context), targets=torch.from_numpy(targets))

    def _sample_one(self, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        best: tuple[np.ndarray, np.ndarray] | None = None
        for _ in range(self.max_draws):
            targets = np.stack(
                [self._spans(frames, self.target_probability, rng) for _ in range(self.groups)]
            )
            hidden = self._spans(frames, self.context_probability, rng) | targets.any(axis=0)
            if best is None or (~hidden).sum() > best[0].sum():
                best = ~hidden, targets
            if best[0].mean() >= self.min_context:
                break
        assert best is not None
        return best

    def _spans(self, frames: int, probability: float, rng: np.random.Generator) -> np.ndarray:
        starts = frames - self.span
        count = min(int(probability * frames / self.span + rng.random()), starts)
        first = rng.permutation(starts)[:count]
        covered = np.zeros(frames, dtype=bool)
        covered[(first[:, None] + np.arange(self.span)).ravel()] = True
        return covered


@dataclass(frozen=True, kw_only=True)
class PatchMasks:
    """Unstructured random patches (Audio-JEPA, arXiv 2507.02915, section 3).

    One ratio a batch, one permutation a sample; what is not hidden is the context.

    Attributes:
        low: Least share of hidden patches.
        high: Largest share of hidden patches.
    """

    low: float = 0.4
    high: float = 0.6

    def sample(self, batch: int, grid: Grid, rng: np.random.Generator) -> Masks:
        """Hide the same number of patches in every sample."""
        n_hidden = round(rng.uniform(self.low, self.high) * grid.tokens)
        order = rng.permuted(np.tile(np.arange(grid.tokens), (batch, 1)), axis=1)
        hidden = torch.from_numpy(order < n_hidden)
        return Masks(context=~hidden, targets=hidden[:, None])


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Chosen tokens of every row, padded to the longest row.

    Attributes:
        index: Token numbers; padding repeats tokens that were not chosen.
        valid: False on padding; None where every row is full, which spares attention its mask.
    """

    index: Int[Tensor, "*rows chosen"]
    valid: Bool[Tensor, "*rows chosen"] | None

    def to(self, device: torch.device) -> "Selection":
        """Move to a device."""
        valid = None if self.valid is None else self.valid.to(device, non_blocking=True)
        return Selection(index=self.index.to(device, non_blocking=True), valid=valid)


def select(mask: Bool[Tensor, "*rows tokens"]) -> Selection:
    """List the True tokens of every row in order, padded to the longest row."""
    counts = mask.sum(-1)
    width = int(counts.max())
    # A stable sort on "not chosen" brings the chosen tokens to the front without shuffling them.
    index = torch.argsort(~mask, dim=-1, stable=True)[..., :width]
    full = bool((counts == width).all())
    valid = None if full else torch.arange(width) < counts[..., None]
    return Selection(index=index, valid=valid)


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


def mask_statistics(masks: Masks, grid: Grid, frame_rate_hz: float) -> MaskStatistics:
    """Measure realised masks; lengths are in ms of signal at `frame_rate_hz`."""
    runs = hidden_runs(masks.context, grid)
    lengths, counts = np.unique(runs, return_counts=True)
    frame_ms = 1000 / frame_rate_hz
    return MaskStatistics(
        visible_fraction=masks.context.float().mean().item(),
        group_fraction=masks.targets.float().mean().item(),
        target_fraction=masks.targets.any(1).float().mean().item(),
        hidden_run_ms=float(runs.mean()) * frame_ms if len(runs) else 0.0,
        histogram_ms={float(n) * frame_ms: int(c) for n, c in zip(lengths, counts, strict=True)},
    )


def hidden_runs(context: Bool[Tensor, "batch tokens"], grid: Grid) -> np.ndarray:
    """Return the length in frames of every maximal hidden stretch within one band."""
    rows = context.reshape(-1, grid.frames, grid.bands).transpose(1, 2).reshape(-1, grid.frames)
    # Visible guards on both sides turn every hidden run into one falling and one rising edge.
    padded = np.pad((~rows).numpy().astype(np.int8), ((0, 0), (1, 1)))
    edges = np.diff(padded, axis=1)
    starts, ends = np.nonzero(edges == 1)[1], np.nonzero(edges == -1)[1]
    lengths: np.ndarray = ends - starts
    return lengths
