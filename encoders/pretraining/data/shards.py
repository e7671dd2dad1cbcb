"""Training audio in WebDataset shards: tars of recordings, for corpora of any size.

Reading keeps near what lies near: an epoch goes through the shards in a shuffled order, and within
a window of a few shards through their recordings in a shuffled order, each once. Which recording
has which turn is a pure function of (seed, turn). Nothing stays open between batches, so sources
can be forked and pickled, and memory holds the index alone (some 50 bytes a recording).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

from probe_bench.encoders.pretraining.data.cuts import CropRule, Timeline
from probe_bench.encoders.pretraining.data.decoding import assemble, decode_span
from probe_bench.encoders.pretraining.data.shard_index import Member, index_shard, member_name
from probe_bench.errors import AudioError, CorpusError

__all__ = ["Shards"]

_THREADS = 8
# Tags apart from zero, since numpy's seeding ignores zeros at the end of a key.
_SHARD_ORDER, _MEMBER_ORDER = 1, 2


@dataclass(frozen=True, kw_only=True)
class Shards:
    """Recordings in tars that are decoded crop by crop; a `Source`.

    Attributes:
        paths: Tars in a fixed order.
        bounds: Number of the first recording of every tar, and of all at the end.
        offsets: Where each recording begins in its tar, in bytes.
        sizes: Bytes of each recording.
        timeline: Their lengths at `sample_rate_hz`.
        sample_rate_hz: Rate of the crops.
        contents: Digest of names, sizes and lengths.
        window: Shards whose recordings are shuffled together.
        left_out: A line for each recording that is not usable.
    """

    paths: tuple[str, ...]
    bounds: Int64[np.ndarray, " bounds"]
    offsets: Int64[np.ndarray, " members"]
    sizes: Int64[np.ndarray, " members"]
    timeline: Timeline
    sample_rate_hz: int
    contents: str
    window: int
    left_out: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        sample_rate_hz: int,
        cache: Path,
        *,
        window: int = 4,
        skip_bad: bool = False,
        name: str = "",
    ) -> "Shards":
        """Index some tars, several at a time; those in the cache are not read again.

        Args:
            paths: Tars.
            sample_rate_hz: Rate of the crops.
            cache: Folder for indices.
            window: Shards whose recordings are shuffled together; more mix better and read from
                more places.
            skip_bad: Leave recordings out whose header is not usable.
            name: Of all together, for messages.

        Raises:
            CorpusError: If there are no tars, or one is unreadable or without audio.
            AudioError: If a recording's header is not usable, and all the more if none is.
        """
        if not paths:
            raise CorpusError("shards: none given; expected at least one tar")
        with ThreadPoolExecutor(_THREADS) as threads:
            indices = list(threads.map(lambda path: index_shard(path, cache), paths))
        broken = tuple(line for index in indices for line in index.broken)
        bounds = np.cumsum([0, *(len(index.offsets) for index in indices)])
        if broken and not (skip_bad and bounds[-1]):
            raise AudioError(broken[0])
        frames = np.concatenate([index.frames for index in indices])
        rates_hz = np.concatenate([index.rates_hz for index in indices])
        # `audio.resampled_length` of all at once: the exact ratio, rounded up.
        lengths = -(-frames * sample_rate_hz // rates_hz)
        contents = "".join(index.contents for index in indices)
        return cls(
            paths=tuple(str(path) for path in paths),
            bounds=bounds,
            offsets=np.concatenate([index.offsets for index in indices]),
            sizes=np.concatenate([index.sizes for index in indices]),
            timeline=Timeline(name=name or str(paths[0].parent), lengths=lengths),
            sample_rate_hz=sample_rate_hz,
            contents=hashlib.sha256(contents.encode()).hexdigest(),
            window=window,
            left_out=broken,
        )

    @property
    def n_clips(self) -> int:
        """Number of recordings."""
        return len(self.offsets)

    @property
    def n_samples(self) -> int:
        """Length of all recordings at `sample_rate_hz`."""
        return self.timeline.n_samples

    def digest(self) -> str:
        """Return the sha256 of member names, sizes, lengths and rates, in order."""
        return self.contents

    def draw(
        self,
        turns: Int64[np.ndarray, " clips"],
        rule: CropRule,
        *,
        seed: int,
        rng: np.random.Generator,
    ) -> Int64[np.ndarray, " cuts"]:
        """Take each recording once an epoch; starts are uniform within it."""
        return self.timeline.cuts(self.order(turns, seed), rule, rng)

    def order(self, turns: Int64[np.ndarray, " turns"], seed: int) -> Int64[np.ndarray, " turns"]:
        """Return which recording has which turn."""
        epochs, places = np.divmod(turns, self.n_clips)
        members = np.empty_like(turns)
        for epoch in np.unique(epochs):
            of_epoch = epochs == epoch
            members[of_epoch] = self._order_in_epoch(places[of_epoch], int(epoch), seed)
        return members

    def _order_in_epoch(self, places: np.ndarray, epoch: int, seed: int) -> np.ndarray:
        shuffled = np.random.default_rng((seed, epoch, _SHARD_ORDER)).permutation(len(self.paths))
        counts = np.add.reduceat(
            np.diff(self.bounds)[shuffled], np.arange(0, len(shuffled), self.window)
        )
        ends = np.cumsum(counts)
        windows = np.searchsorted(ends, places, side="right")
        members = np.empty_like(places)
        for window in np.unique(windows):
            rng = np.random.default_rng((seed, epoch, int(window), _MEMBER_ORDER))
            shards = shuffled[window * self.window : (window + 1) * self.window]
            inside = [np.arange(self.bounds[shard], self.bounds[shard + 1]) for shard in shards]
            of_window = windows == window
            begin = ends[window] - counts[window]
            members[of_window] = rng.permutation(np.concatenate(inside))[places[of_window] - begin]
        return members

    def read(
        self, cuts: Int64[np.ndarray, " batch"], crop_samples: int
    ) -> Float[Tensor, "batch samples"]:
        """Decode the crops that start at some cuts."""
        clips = {piece.clip for piece in self.timeline.pieces(cuts, crop_samples)}
        with self._opened(clips) as descriptors:

            def decode(clip: int, first: int, n: int) -> Float[Tensor, " n"]:
                return self._decode(descriptors, clip, first, n)

            return assemble(self.timeline, cuts, crop_samples, decode)

    def _shard(self, clip: int) -> int:
        return int(np.searchsorted(self.bounds, clip, side="right")) - 1

    @contextmanager
    def _opened(self, clips: set[int]) -> Iterator[Mapping[int, int]]:
        """Open the tars of some recordings; gives descriptors by number of the tar."""
        with ExitStack() as stack:
            descriptors = {}
            for shard in sorted({self._shard(clip) for clip in clips}):
                try:
                    file = stack.enter_context(Path(self.paths[shard]).open("rb", buffering=0))
                except OSError as error:
                    raise CorpusError(
                        f"{self.paths[shard]}: cannot be read ({error.strerror}); expected the tar "
                        "that was there at the start; put it back"
                    ) from error
                descriptors[shard] = file.fileno()
            yield descriptors

    def _decode(
        self, descriptors: Mapping[int, int], clip: int, first: int, n: int
    ) -> Float[Tensor, " n"]:
        shard, offset = self._shard(clip), int(self.offsets[clip])
        return decode_span(
            Member(descriptors[shard], offset, int(self.sizes[clip])),
            lambda: member_name(self.paths[shard], offset),
            first=first,
            n=n,
            sample_rate_hz=self.sample_rate_hz,
        )
