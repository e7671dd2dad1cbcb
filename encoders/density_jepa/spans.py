"""The mask sampler: a few long spans, overlaps counted towards the ratio."""

from dataclasses import dataclass

import numpy as np
import torch

from probe_bench.encoders.pretraining.masking.masks import Grid, Masks
from probe_bench.encoders.pretraining.ranges import Count, PositiveShare, Ranged, Share

__all__ = ["DensitySpanMasks"]


@dataclass(frozen=True, kw_only=True)
class DensitySpanMasks(Ranged):
    """Density-adaptive JEPA's spans (arXiv 2512.07168, published code); what they hide is predicted.

    Spans of uniformly drawn length and start are hidden until their lengths add up to `ratio` of
    the frames. Overlaps count twice, so less than that is hidden, unless the last span overshoots.

    Attributes:
        ratio: Share of the frames to hide, overlaps counted.
        min_span: Shortest span in frames.
        max_span_fraction: Longest span over the length of the clip.
        max_span: The longest span is never below this many frames.

    Raises:
        ValueError: If `max_span` is below `min_span`.
    """

    ratio: PositiveShare = 0.5
    min_span: Count = 2
    max_span_fraction: Share = 0.25
    max_span: Count = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_span < self.min_span:
            raise ValueError(
                f"max_span is {self.max_span}; expected at least {self.min_span}, min_span"
            )

    def sample(
        self,
        batch: int,
        grid: Grid,
        rng: np.random.Generator,
        *,
        progress: float = 0.0,  # noqa: ARG002 - the same at every time
    ) -> Masks:
        """Draw spans for a grid; a span covers all bands of its frames."""
        hidden = np.stack([self._hide(grid.frames, rng) for _ in range(batch)])
        tokens = torch.from_numpy(np.repeat(hidden, grid.bands, axis=-1))
        return Masks(context=~tokens, targets=tokens[:, None])

    def _hide(self, frames: int, rng: np.random.Generator) -> np.ndarray:
        longest = max(self.max_span, int(frames * self.max_span_fraction))
        hidden, counted = np.zeros(frames, dtype=bool), 0
        while counted < int(self.ratio * frames):
            span = int(rng.integers(self.min_span, longest, endpoint=True))
            # The published bound lets the last span start one frame too late where it just fits.
            start = int(rng.integers(0, max(1, frames - span), endpoint=True))
            hidden[start : start + span] = True
            counted += min(start + span, frames) - start
        return hidden
