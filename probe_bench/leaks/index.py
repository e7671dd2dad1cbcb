"""An inverted index of fingerprints: at which frames of which clips does a word stand?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int64, UInt32

from probe_bench.leaks.fingerprint import Fingerprint

__all__ = ["Diagonals", "Index", "join", "ranges"]

_POSTINGS = 32  # places looked at for one word: bounds the work on words that stand everywhere
_OFFSETS = 8  # best offsets of two clips that are compared: rhythm gives many


@dataclass(frozen=True, kw_only=True)
class Diagonals:
    """Pairs of clips and offsets at which they share words.

    Attributes:
        clip: Number of the clip that was looked up.
        other: Number of the clip in the index.
        shift: Frames by which the same sound stands later in `other`.
    """

    clip: Int[np.ndarray, " diagonals"]
    other: Int[np.ndarray, " diagonals"]
    shift: Int[np.ndarray, " diagonals"]

    def __len__(self) -> int:
        return len(self.clip)

    def __getitem__(self, which: slice | np.ndarray) -> "Diagonals":
        return Diagonals(clip=self.clip[which], other=self.other[which], shift=self.shift[which])


@dataclass(frozen=True, kw_only=True)
class Index:
    """Fingerprints one after the other, and their active frames sorted by word.

    Attributes:
        words: Of all clips.
        weak: Masks of all clips.
        bounds: First frame of every clip, and the number of all frames.
        frames: Active frames in the order of their words; of equal words, in order.
    """

    words: UInt32[np.ndarray, " frames"]
    weak: UInt32[np.ndarray, " frames"]
    bounds: Int64[np.ndarray, " bounds"]
    frames: Int[np.ndarray, " active"]
    sorted_words: UInt32[np.ndarray, " active"]

    @classmethod
    def of(cls, prints: Sequence[Fingerprint]) -> "Index":
        """Index some fingerprints; clips are numbered in their order."""
        words, weak, bounds = join(prints)
        active = np.flatnonzero(weak)
        frames = active[np.argsort(words[active], kind="stable")]
        return cls(words=words, weak=weak, bounds=bounds, frames=frames, sorted_words=words[frames])

    def diagonals(self, prints: Sequence[Fingerprint]) -> Diagonals:
        """Find where some clips share words with those in the index.

        Looks up every word with any of its weak bits flipped.
        """
        words, weak, bounds = join(prints)
        active = np.flatnonzero(weak)
        probed, found = self._hits(_flipped(words[active], weak[active]))
        frame = active[probed]
        clip = np.searchsorted(bounds, frame, side="right") - 1
        other = np.searchsorted(self.bounds, found, side="right") - 1
        shift = (found - self.bounds[other]) - (frame - bounds[clip])
        return _best(Diagonals(clip=clip, other=other, shift=shift))

    def _hits(self, probes: UInt32[np.ndarray, "frames flips"]) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of a row of `probes` and a frame of the index with one of its words."""
        first = np.searchsorted(self.sorted_words, probes.ravel(), side="left")
        count = np.searchsorted(self.sorted_words, probes.ravel(), side="right") - first
        used = np.minimum(count, _POSTINGS)
        rank = ranges(np.zeros_like(used), used)
        # Of a word that stands too often, places spread evenly over the clips.
        place = np.repeat(first, used) + rank * np.repeat(count, used) // np.repeat(used, used)
        return np.repeat(np.arange(probes.size) // probes.shape[1], used), self.frames[place]


def join(
    prints: Sequence[Fingerprint],
) -> tuple[UInt32[np.ndarray, " f"], UInt32[np.ndarray, " f"], Int64[np.ndarray, " bounds"]]:
    """Put fingerprints one after the other: words, masks, and where each begins and all end."""
    empty = np.zeros(0, np.uint32)
    bounds = np.cumsum([0, *(len(each.words) for each in prints)])
    words = np.concatenate([empty, *(each.words for each in prints)])
    return words, np.concatenate([empty, *(each.weak for each in prints)]), bounds


def ranges(
    first: Int[np.ndarray, " ranges"], length: Int[np.ndarray, " ranges"]
) -> Int[np.ndarray, " all"]:
    """Return `first[i], first[i] + 1 ...`, `length[i]` numbers each, one after the other."""
    begins = np.cumsum(length) - length
    numbers: np.ndarray = np.arange(length.sum()) + np.repeat(first - begins, length)
    return numbers


def _flipped(
    words: UInt32[np.ndarray, " frames"], weak: UInt32[np.ndarray, " frames"]
) -> UInt32[np.ndarray, "frames flips"]:
    """Return every word with all combinations of its weak bits flipped."""
    variants = words[:, None]
    while weak.any():
        lowest = weak & (~weak + np.uint32(1))  # in two's complement, -x isolates the lowest bit
        variants = np.concatenate([variants, variants ^ lowest[:, None]], axis=1)
        weak = weak ^ lowest
    return variants


def _best(hits: Diagonals) -> Diagonals:
    """Return every diagonal once; of each pair of clips those with the most hits."""
    hits = hits[np.lexsort((hits.shift, hits.other, hits.clip))]
    first = np.flatnonzero(_changes(hits.clip, hits.other, hits.shift))
    found, count = hits[first], np.diff(np.append(first, len(hits)))
    found = found[np.lexsort((found.shift, -count, found.other, found.clip))]
    pair = np.flatnonzero(_changes(found.clip, found.other))
    rank = ranges(np.zeros_like(pair), np.diff(np.append(pair, len(found))))
    return found[rank < _OFFSETS]


def _changes(*columns: np.ndarray) -> np.ndarray:
    """Say which rows of a sorted table differ from the row before."""
    changed = np.zeros(len(columns[0]), dtype=np.bool_)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed
