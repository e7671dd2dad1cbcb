"""Mask samplers: the published ways to choose what is seen and what is predicted.

Every sampler is a frozen set of numbers whose `sample` is a pure function of the generator's state.
What it says (spans, scales) is nominal; `mask_statistics` measures what comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from probe_bench.encoders.pretraining.masking.masks import Grid, Masks, MaskSampler
from probe_bench.encoders.pretraining.ranges import (
    Count,
    Positive,
    PositiveShare,
    Range,
    Ranged,
    Rising,
    Share,
)
from probe_bench.errors import UserError

__all__ = [
    "BlockMasks",
    "CurriculumMasks",
    "MultiMasks",
    "PatchMasks",
    "SpanMasks",
    "StripMasks",
]

_DRAWS = 100  # of the targets of one clip, until they leave room for a context


@dataclass(frozen=True, kw_only=True)
class SpanMasks(Ranged):
    """WavJEPA's time spans (arXiv 2509.23238, published masker).

    Each of `groups` target groups is the union of `int(p * N / span + U)` spans whose starts are
    drawn without replacement from [0, N - span); spans may overlap. The context is the *complement*
    of a further set of spans, less every group's targets, drawn again until at least `min_context`
    of the frames are visible. After `max_draws` failures the draw with the most visible frames
    stands, so that a hopeless setting is slow but not endless. As published, the last frame is never
    under a span.

    Attributes:
        span: Frames in a span.
        groups: Target groups.
        target_probability: Expected share of frames covered by one group, overlaps counted twice.
        context_probability: The same for the spans taken *out* of the context.
        min_context: Least share of visible frames.
        predict_hidden: One group that holds every hidden frame, in place of spans of its own
            (GLaS-JEPA, data2vec); then `context_probability` alone decides, not `groups` and
            `target_probability`.
        max_draws: Attempts for one sample.
    """

    span: Count = 10
    groups: Count = 4
    target_probability: PositiveShare = 0.25
    context_probability: PositiveShare = 0.65
    min_context: Share = 0.1
    predict_hidden: bool = False
    max_draws: Count = 1000

    def sample(
        self,
        batch: int,
        grid: Grid,
        rng: np.random.Generator,
        *,
        progress: float = 0.0,  # noqa: ARG002 - the same at every time
    ) -> Masks:
        """Draw spans for a grid; a span covers all bands of its frames."""
        if grid.frames <= self.span:
            raise UserError(
                f"masks: spans of {self.span} frames in crops of {grid.frames} frames; take "
                "shorter spans or longer crops"
            )
        drawn = [self._sample_one(grid.frames, rng) for _ in range(batch)]
        context = np.repeat(np.stack([c for c, _ in drawn]), grid.bands, axis=-1)
        targets = np.repeat(np.stack([t for _, t in drawn]), grid.bands, axis=-1)
        return Masks(context=torch.from_numpy(context), targets=torch.from_numpy(targets))

    def _sample_one(self, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        best: tuple[np.ndarray, np.ndarray] | None = None
        groups = 0 if self.predict_hidden else self.groups
        for _ in range(self.max_draws):
            spans = [self._spans(frames, self.target_probability, rng) for _ in range(groups)]
            hidden = self._spans(frames, self.context_probability, rng)
            hidden = np.logical_or.reduce([hidden, *spans])
            targets = np.stack(spans or [hidden])
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
class PatchMasks(Ranged):
    """Unstructured random patches (Audio-JEPA, arXiv 2507.02915, section 3).

    One ratio a batch, one permutation a sample; what is not hidden is the context.

    Attributes:
        low: Least share of hidden patches.
        high: Largest share of hidden patches.
    """

    low: Annotated[float, Range(0, 0.99, above=True)] = 0.4
    high: Annotated[float, Range(0, 0.99, above=True)] = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ValueError(
                f"low is {self.low}, high {self.high}; expected the smaller number first"
            )

    def sample(
        self,
        batch: int,
        grid: Grid,
        rng: np.random.Generator,
        *,
        progress: float = 0.0,  # noqa: ARG002 - the same at every time
    ) -> Masks:
        """Hide the same number of patches in every sample."""
        n_hidden = round(rng.uniform(self.low, self.high) * grid.tokens)
        order = rng.permuted(np.tile(np.arange(grid.tokens), (batch, 1)), axis=1)
        hidden = torch.from_numpy(order < n_hidden)
        return Masks(context=~hidden, targets=hidden[:, None])


@dataclass(frozen=True, kw_only=True)
class BlockMasks(Ranged):
    """Rectangles of the time-frequency grid (I-JEPA, arXiv 2301.08243; V-JEPA, arXiv 2404.08471).

    A target group is the union of `blocks` rectangles; the context is one large rectangle less all
    targets. As in the published code one random number a batch decides both scale and aspect, so
    every sample's rectangles are of one size, and the place is drawn for every sample. Two things
    are mended: the last row and column are as likely as the first, and a rectangle that is too high
    for the grid grows in time until it has its area (spectrogram grids are far from square).
    Context rows are cut to the shortest of the batch by dropping random tokens, not the last ones.

    Attributes:
        groups: Target groups, each predicted on its own.
        blocks: Rectangles in a group.
        scale: Least and largest share of the grid under one rectangle.
        aspect: Least and largest frames per band of a rectangle.
        context_scale: Scale of the context's rectangle.
        min_keep: Least number of context tokens; targets that leave less are drawn again.
    """

    groups: Count = 4
    blocks: Count = 1
    scale: Annotated[tuple[PositiveShare, PositiveShare], Rising()] = (0.15, 0.2)
    aspect: Annotated[tuple[Positive, Positive], Rising()] = (0.75, 1.5)
    context_scale: Annotated[tuple[PositiveShare, PositiveShare], Rising()] = (0.85, 1.0)
    min_keep: Count = 10

    def sample(
        self,
        batch: int,
        grid: Grid,
        rng: np.random.Generator,
        *,
        progress: float = 0.0,  # noqa: ARG002 - the same at every time
    ) -> Masks:
        """Draw rectangles of one size for the whole batch."""
        size = _rectangle(grid, self.scale, self.aspect, rng)

        def draw(rows: int) -> np.ndarray:
            blocks = _place(size, rows * self.groups * self.blocks, grid, rng)
            blocks = blocks.reshape(rows, self.groups, self.blocks, -1)
            joined: np.ndarray = np.logical_or.reduce(blocks, axis=2)
            return joined

        targets = _with_room(draw, batch, self.min_keep)
        return _with_context(targets, grid, self.context_scale, self.min_keep, rng)


@dataclass(frozen=True, kw_only=True)
class StripMasks(Ranged):
    """Time-frequency-structured masks (A-JEPA, arXiv 2311.15830, the hard end of its curriculum).

    Each group is a strip of time over all bands together with a strip of bands over all time, so
    nothing that shares the time or the frequency of a target can be copied. The paper gives number
    and scale only; that the strips run through the whole grid is our reading of "time-frequency
    aware".

    Attributes:
        groups: Target groups.
        scale: Least and largest share of the grid under one strip.
        context_scale: Scale of the context's rectangle.
        min_keep: Least number of context tokens; targets that leave less are drawn again.
    """

    groups: Count = 3
    scale: Annotated[tuple[PositiveShare, PositiveShare], Rising()] = (0.05, 0.075)
    context_scale: Annotated[tuple[PositiveShare, PositiveShare], Rising()] = (0.85, 1.0)
    min_keep: Count = 10

    def sample(
        self,
        batch: int,
        grid: Grid,
        rng: np.random.Generator,
        *,
        progress: float = 0.0,  # noqa: ARG002 - the same at every time
    ) -> Masks:
        """Draw a time strip and a frequency strip for every group."""
        share = rng.uniform(*self.scale)
        stretch = max(1, round(share * grid.frames)), grid.bands
        stripe = grid.frames, max(1, round(share * grid.bands))

        def draw(rows: int) -> np.ndarray:
            time, band = (_place(s, rows * self.groups, grid, rng) for s in (stretch, stripe))
            crosses: np.ndarray = (time | band).reshape(rows, self.groups, grid.tokens)
            return crosses

        targets = _with_room(draw, batch, self.min_keep)
        return _with_context(targets, grid, self.context_scale, self.min_keep, rng)


@dataclass(frozen=True, kw_only=True)
class CurriculumMasks(Ranged):
    """From easy masks to hard ones (A-JEPA, arXiv 2311.15830, Algorithm 1).

    A batch is hard with probability min(1, sqrt(s (1 - c0^2) / S + c0^2)) at step s of S.

    Attributes:
        easy: Sampler of the beginning.
        hard: Sampler of the end.
        start: c0, the probability at the first step.
    """

    easy: MaskSampler
    hard: MaskSampler
    start: Share = 0.01

    def probability(self, progress: float) -> float:
        """Probability of a hard batch when `progress` of the training is done."""
        return float(min(1.0, (progress * (1 - self.start**2) + self.start**2) ** 0.5))

    def sample(
        self, batch: int, grid: Grid, rng: np.random.Generator, *, progress: float = 0.0
    ) -> Masks:
        """Let one coin a batch decide between the samplers."""
        hard = rng.random() < self.probability(progress)
        return (self.hard if hard else self.easy).sample(batch, grid, rng, progress=progress)


@dataclass(frozen=True, kw_only=True)
class MultiMasks:
    """Several masks of the same clips, for which the teacher runs once (V-JEPA, data2vec 2).

    Attributes:
        samplers: One a copy of the batch; all with the same number of groups.
    """

    samplers: tuple[MaskSampler, ...]

    def __post_init__(self) -> None:
        if not self.samplers:
            raise ValueError("samplers is empty; expected at least one")

    def sample(
        self, batch: int, grid: Grid, rng: np.random.Generator, *, progress: float = 0.0
    ) -> Masks:
        """Stack the samplers' rows: all clips under the first, then all under the second ..."""
        drawn = [s.sample(batch, grid, rng, progress=progress) for s in self.samplers]
        if len({masks.targets.shape[1] for masks in drawn}) > 1:
            raise UserError("masks: samplers of different numbers of groups; give them the same")
        return Masks(
            context=torch.cat([masks.context for masks in drawn]),
            targets=torch.cat([masks.targets for masks in drawn]),
        )


def _rectangle(
    grid: Grid,
    scale: tuple[float, float],
    aspect: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Frames and bands of a rectangle with the drawn area."""
    draw = rng.random()
    area = (scale[0] + draw * (scale[1] - scale[0])) * grid.tokens
    ratio = aspect[0] + draw * (aspect[1] - aspect[0])
    bands = min(max(1, round((area / ratio) ** 0.5)), grid.bands)
    return min(max(1, round(area / bands)), grid.frames), bands


def _place(size: tuple[int, int], rows: int, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Put one rectangle into each of `rows` grids, everywhere alike: `rows tokens`."""
    inside = []
    for length, extent in zip(size, (grid.frames, grid.bands), strict=True):
        first = rng.integers(extent - length + 1, size=(rows, 1))
        place = np.arange(extent)
        inside.append((place >= first) & (place < first + length))
    both: np.ndarray = inside[0][:, :, None] & inside[1][:, None, :]
    return both.reshape(rows, grid.tokens)


def _with_room(draw: Callable[[int], np.ndarray], batch: int, least: int) -> np.ndarray:
    """Draw targets, `batch groups tokens`, again where they leave the context less than `least`.

    Large blocks may cover the whole grid. Of draws that all leave too little the best one stays.

    Raises:
        UserError: If a clip's targets leave nothing every time.
    """
    targets = draw(batch)
    free = (~targets.any(1)).sum(1)
    for _ in range(_DRAWS):
        crowded = np.flatnonzero(free < least)
        if not len(crowded):
            break
        again = draw(len(crowded))
        room = (~again.any(1)).sum(1)
        better = room > free[crowded]
        targets[crowded[better]], free[crowded[better]] = again[better], room[better]
    if not free.all():
        raise UserError(
            "masks: the targets cover the whole grid and leave no context; take fewer or smaller "
            "ones, or a longer crop"
        )
    return targets


def _with_context(
    targets: np.ndarray,
    grid: Grid,
    scale: tuple[float, float],
    min_keep: int,
    rng: np.random.Generator,
) -> Masks:
    """Add the context: one rectangle less all targets, the same number of tokens in every row."""
    size = _rectangle(grid, scale, (grid.frames / grid.bands,) * 2, rng)
    free = ~np.logical_or.reduce(targets, axis=1)
    context = _place(size, len(targets), grid, rng) & free
    short = context.sum(1) < min_keep
    context[short] = free[short]
    # Random places, with what is not context pushed to the end; the first `kept` of them stay.
    order = np.where(context, rng.random(context.shape), 2.0).argsort(1)
    kept = int(context.sum(1).min())
    even = np.zeros_like(context)
    np.put_along_axis(even, order[:, :kept], values=True, axis=1)
    return Masks(context=torch.from_numpy(even), targets=torch.from_numpy(targets))
