"""Find the same sound in different clips: candidates from the index, then every bit compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int
from scipy.ndimage import uniform_filter1d

from probe_bench.leaks.fingerprint import FRAME_S, FRAME_SPAN_S, LEAST_FRAMES, Fingerprint
from probe_bench.leaks.index import Diagonals, Index, join, ranges

__all__ = ["THRESHOLD", "Match", "find_matches", "find_repeats"]

THRESHOLD = 0.7
"""Least similarity over one second: see `docs/leaks.md` for what lies on both sides of it."""

_STRETCH_FRAMES = 50  # a second
_NEAR_FRAMES = 9
_CHUNK_FRAMES = 20_000  # frames looked up, and frames compared, at once: bounds memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The same sound in two clips.

    Attributes:
        clip: Number of the clip that was looked up.
        other: Number of the clip in the index.
        similarity: 1 - 2 x the share of bits that differ: 1 for equal sound, 0 for unrelated.
        overlap_s: Length of what is the same.
        offset_s: What stands at t in `clip` stands at t + `offset_s` in `other`.
    """

    clip: int
    other: int
    similarity: float
    overlap_s: float
    offset_s: float

    def turned(self) -> "Match":
        """Return the same match seen from the other clip."""
        return replace(self, clip=self.other, other=self.clip, offset_s=-self.offset_s)


def find_matches(
    index: Index, prints: Sequence[Fingerprint], threshold: float = THRESHOLD
) -> list[Match]:
    """Find the clips of an index that sound the same as some others for about a second or more.

    Args:
        index: Clips of one side.
        prints: Clips of the other side.
        threshold: Least similarity.

    Returns:
        At most one match a pair, the longest, ordered by clip and other.
    """
    return [match for chunk in _chunks(prints) for match in _match(index, *chunk, threshold)]


def find_repeats(prints: Sequence[Fingerprint], threshold: float = THRESHOLD) -> list[Match]:
    """Find pairs of clips that sound the same, each once, with `clip` before `other`."""
    index = Index.of(prints)
    return [
        match
        for first, chunk in _chunks(prints)
        for match in _match(index, first, chunk, threshold, within=True)
    ]


def _chunks(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, Sequence[Fingerprint]]]:
    """Cut clips into runs of bounded length, each with the number of its first."""
    lengths = np.array([len(each.words) for each in prints], dtype=np.int64)
    chunk = np.cumsum(lengths) // _CHUNK_FRAMES
    cuts = [*np.flatnonzero(np.diff(chunk, prepend=-1)).tolist(), len(prints)]
    for first, end in pairwise(cuts):
        yield first, prints[first:end]


def _match(
    index: Index,
    first: int,
    prints: Sequence[Fingerprint],
    threshold: float,
    *,
    within: bool = False,
) -> Iterator[Match]:
    """Look up some clips, compare them with what is found, and keep the best of every pair."""
    found = index.diagonals(prints)
    if within:
        found = found[found.clip + first < found.other]
    words, weak, bounds = join(prints)
    parts = np.cumsum(np.diff(bounds)[found.clip]) // _CHUNK_FRAMES
    best: dict[tuple[int, int], Match] = {}
    for part in np.unique(parts):
        for match in _compare(index, words, weak, bounds, found[parts == part], threshold):
            pair = (match.clip, match.other)
            if pair not in best or _rank(match) > _rank(best[pair]):
                best[pair] = match
    for pair in sorted(best):
        yield replace(best[pair], clip=best[pair].clip + first)


def _rank(match: Match) -> tuple[float, float, float]:
    return match.overlap_s, match.similarity, -abs(match.offset_s)


def _compare(
    index: Index,
    words: np.ndarray,
    weak: np.ndarray,
    bounds: np.ndarray,
    diagonals: Diagonals,
    threshold: float,
) -> Iterator[Match]:
    """Compare clips frame by frame along diagonals."""
    mine, theirs = bounds[diagonals.clip], index.bounds[diagonals.other]
    begin = np.maximum(0, -diagonals.shift)
    end = np.minimum(
        bounds[diagonals.clip + 1] - mine,
        index.bounds[diagonals.other + 1] - theirs - diagonals.shift,
    )
    length = np.maximum(0, end - begin)
    a, b = ranges(mine + begin, length), ranges(theirs + begin + diagonals.shift, length)
    told = np.flatnonzero((weak[a] != 0) & (index.weak[b] != 0))
    diagonal = np.repeat(np.arange(len(diagonals)), length)[told]
    wrong = np.bitwise_count(words[a[told]] ^ index.words[b[told]]).astype(np.int64)
    same = _same(wrong, diagonal, threshold)
    diagonal, wrong, frame = diagonal[same], wrong[same], a[told[same]]
    n_told = np.bincount(diagonal, minlength=len(diagonals))
    n_wrong = np.bincount(diagonal, wrong, minlength=len(diagonals))
    # Pauses within what is the same belong to it, unless they are longer than a second.
    step = np.where(np.diff(diagonal) == 0, np.minimum(np.diff(frame), _STRETCH_FRAMES), 0)
    n_frames = np.bincount(diagonal[1:], step, minlength=len(diagonals))
    for k in np.flatnonzero(n_told).tolist():
        yield Match(
            clip=int(diagonals.clip[k]),
            other=int(diagonals.other[k]),
            similarity=float(1 - n_wrong[k] / n_told[k] / 16),
            overlap_s=float(n_frames[k] * FRAME_S + FRAME_SPAN_S),
            offset_s=float(diagonals.shift[k] * FRAME_S),
        )


def _same(
    wrong: Int[np.ndarray, " frames"], diagonal: Int[np.ndarray, " frames"], threshold: float
) -> Bool[np.ndarray, " frames"]:
    """Say which frames lie in a second of frames that agree (less at the end of a diagonal).

    similarity = 1 - 2 x wrong bits / (32 x frames), so it is at least the threshold where
    wrong bits <= (1 - threshold) x 16 x frames.

    Args:
        wrong: Bits that differ in each frame that tells something.
        diagonal: Number of the diagonal, never falling.
        threshold: Least similarity.
    """
    total = np.append(0, np.cumsum(wrong))
    frame = np.arange(len(wrong))
    stop = np.minimum(frame + _STRETCH_FRAMES, np.searchsorted(diagonal, diagonal, side="right"))
    n_frames = stop - frame
    agrees = total[stop] - total[frame] <= (1 - threshold) * 16 * n_frames
    agrees &= n_frames >= LEAST_FRAMES
    # A frame is covered if more stretches that agree began than ended up to it.
    change = np.zeros(len(wrong) + 1, dtype=np.int64)
    change[:-1] += agrees
    np.subtract.at(change, stop[agrees], 1)
    # At its ends a stretch may reach into other sound; around a frame there, half of the bits differ.
    near = uniform_filter1d(wrong.astype(np.float64), _NEAR_FRAMES, mode="nearest") <= 8
    return (np.cumsum(change[:-1]) > 0) & near
