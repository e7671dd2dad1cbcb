"""Spans of exactly one length at exactly one share: what a study of the mask span has to hold fixed.

The published samplers let spans overlap: WavJEPA's nominal 100 ms hide 272 ms on average, and a longer
span hides more of the clip. Here neither happens, so span and share are two knobs.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from probe_bench.encoders.pretraining.masking.masks import Grid, Masks
from probe_bench.encoders.pretraining.ranges import Count, Range, Ranged
from probe_bench.errors import UserError

__all__ = ["ExactSpans"]


@dataclass(frozen=True, kw_only=True)
class ExactSpans(Ranged):
    """Hidden spans of one length that neither overlap nor touch; what is not hidden is the context.

    Every arrangement of the `round(share * frames / span)` spans is equally likely. Spans may begin or
    end with the crop.

    Attributes:
        span: Frames in a span.
        share: Share of frames that is hidden, to the nearest whole span.
    """

    span: Count
    share: Annotated[float, Range(0, 1, above=True)] = 0.5

    def spans(self, grid: Grid) -> int:
        """Number of spans in a crop.

        Raises:
            UserError: If not even one fits, or they leave no frame between two of them.
        """
        count = round(self.share * grid.frames / self.span)
        if (
            count < 1
            or count * (self.span + 1) - 1 > grid.frames
            or count * self.span >= grid.frames
        ):
            raise UserError(
                f"masks: {count} spans of {self.span} frames in crops of {grid.frames} frames; take "
                "shorter spans, a smaller share or longer crops"
            )
        return count

    def sample(
        self,
        batch: int,
        grid: Grid,
        rng: np.random.Generator,
        *,
        progress: float = 0.0,  # noqa: ARG002 - the same at every time
    ) -> Masks:
        """Draw spans for a grid; a span covers all bands of its frames."""
        count = self.spans(grid)
        # A span with the visible frame after it is one piece (the last span needs none): arrangements
        # are the choices of `count` places among pieces and free frames.
        places = grid.frames + 1 - count * self.span
        chosen = np.argsort(rng.random((batch, places)), axis=1)[:, :count]
        starts = np.sort(chosen, axis=1) + np.arange(count) * self.span
        hidden = np.zeros((batch, grid.frames), dtype=bool)
        inside = starts[:, :, None] + np.arange(self.span)
        np.put_along_axis(hidden, inside.reshape(batch, -1), values=True, axis=1)
        covered = torch.from_numpy(np.repeat(hidden, grid.bands, axis=1))
        return Masks(context=~covered, targets=covered[:, None])
