"""Which stretches of audio a step trains on: positions on one long tape, drawn before any decoding.

A source of training audio is thought of as one tape with all its clips one after the other, at the
rate of training. A *cut* is the position of a crop's first sample on that tape, so the cuts of a
batch are an array of integers: cheap to draw, to compare, to send to a worker, and to share out
between ranks, in contiguous parts, so that a clip that gives several crops is decoded on one only.

Drawing is a pure function of (seed, step): resuming needs no stored position.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from probe_bench.errors import CorpusError, UserError

__all__ = ["CropRule", "Piece", "Timeline"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CropRule:
    """How a batch is cut from clips.

    Attributes:
        batch: Crops in a batch.
        crop_samples: Length of a crop.
        crops_per_clip: Crops from each drawn clip; WavJEPA takes 8. They stand side by side in the
            batch, and what they share is decoded once.
        excerpt_samples: Stretch of the clip that its crops come from, drawn anew each time (10 s in
            WavJEPA); the whole clip if None. Keeps decoding short in long recordings.
    """

    batch: int
    crop_samples: int
    crops_per_clip: int = 1
    excerpt_samples: int | None = None

    def __post_init__(self) -> None:
        if self.crops_per_clip < 1 or self.batch % self.crops_per_clip:
            raise UserError(
                f"{self.crops_per_clip} crops per clip in a batch of {self.batch}; expected a "
                "divisor of the batch; change one of them"
            )
        if self.excerpt_samples is not None and self.excerpt_samples < self.crop_samples:
            raise UserError(
                f"excerpts of {self.excerpt_samples} samples; expected at least one crop of "
                f"{self.crop_samples} samples; take longer excerpts or shorter crops"
            )

    @property
    def clips(self) -> int:
        """Clips drawn for a batch."""
        return self.batch // self.crops_per_clip


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Part of a crop that lies in one clip.

    Attributes:
        row: Crop in the batch.
        offset: First sample within the crop.
        clip: Clip that it comes from.
        first: First sample within the clip.
        n: Samples.
    """

    row: int
    offset: int
    clip: int
    first: int
    n: int


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Clips one after the other.

    Attributes:
        name: Of the audio, for messages.
        lengths: Samples of every clip, none empty.
    """

    name: str
    lengths: Int64[np.ndarray, " clips"]

    @cached_property
    def ends(self) -> Int64[np.ndarray, " clips"]:
        """Position after every clip's last sample."""
        return np.cumsum(self.lengths)

    @property
    def n_samples(self) -> int:
        """Length of the whole tape."""
        return int(self.ends[-1])

    @cached_property
    def _cumulative_share(self) -> np.ndarray:
        share = np.cumsum(self.lengths / self.lengths.sum())
        share /= share[-1]
        return share

    def draw_clips(self, n: int, rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
        """Draw clips in proportion to their length.

        The same numbers as `rng.choice(clips, n, p=lengths / total)`, without its pass over all
        clips at every call.
        """
        return np.searchsorted(self._cumulative_share, rng.random(n), side="right")

    def cuts(
        self, clips: Int64[np.ndarray, " clips"], rule: CropRule, rng: np.random.Generator
    ) -> Int64[np.ndarray, " batch"]:
        """Draw `rule.crops_per_clip` cuts from each of some clips, uniform within its excerpt.

        A clip shorter than the crop is followed by its neighbour on the tape, as in a dialogue;
        repeating it instead would let the model copy a masked frame from its twin.

        Raises:
            CorpusError: If all clips together are shorter than one crop.
        """
        if self.n_samples < rule.crop_samples:
            raise CorpusError(
                f"{self.name}: {self.n_samples} samples of audio in all; expected at least one "
                f"crop of {rule.crop_samples} samples; give more or longer clips"
            )
        lengths = self.lengths[clips]
        first = self.ends[clips] - lengths
        if rule.excerpt_samples is not None:
            excerpts = np.minimum(lengths, rule.excerpt_samples)
            first = first + _uniform(lengths - excerpts, rng.random(len(clips)))
            lengths = excerpts
        room = np.maximum(lengths - rule.crop_samples, 0)[:, None]
        within = _uniform(room, rng.random((len(clips), rule.crops_per_clip)))
        last = self.n_samples - rule.crop_samples
        cuts: np.ndarray = np.minimum(first[:, None] + within, last).reshape(-1)
        return cuts

    def pieces(self, cuts: Int64[np.ndarray, " batch"], crop_samples: int) -> Iterator[Piece]:
        """Say what to read: the pieces of every crop, clip by clip."""
        clips = np.searchsorted(self.ends, cuts, side="right")
        for row, (cut, first_clip) in enumerate(zip(cuts.tolist(), clips.tolist(), strict=True)):
            clip, offset = first_clip, 0
            while offset < crop_samples:
                end = int(self.ends[clip])
                n = min(crop_samples - offset, end - cut - offset)
                first = cut + offset - (end - int(self.lengths[clip]))
                yield Piece(row=row, offset=offset, clip=clip, first=first, n=n)
                clip, offset = clip + 1, offset + n


def _uniform(room: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Spread fractions in [0, 1) evenly over the integers 0 ... `room`."""
    spread: np.ndarray = (fraction * (room + 1)).astype(np.int64)
    return spread
