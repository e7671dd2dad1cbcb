"""Training audio in files: folders and manifests of recordings of any format, rate and length."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

from probe_bench.audio import resampled_length
from probe_bench.encoders.pretraining.data.cuts import CropRule, Timeline
from probe_bench.encoders.pretraining.data.decoding import (
    SUFFIXES,
    assemble,
    decode_span,
    read_header,
)
from probe_bench.errors import AudioError, CorpusError

__all__ = ["AudioFiles", "find_files"]

_THREADS = 8  # headers wait for the disk, not for the processor


@dataclass(frozen=True, kw_only=True)
class AudioFiles:
    """Recordings that are decoded crop by crop; a `Source`.

    Attributes:
        paths: Files in a fixed order.
        timeline: Their lengths at `sample_rate_hz`.
        sample_rate_hz: Rate of the crops.
        contents: Digest of names, sizes and lengths.
        left_out: A line for each file that is not usable.
    """

    paths: tuple[str, ...]
    timeline: Timeline
    sample_rate_hz: int
    contents: str
    left_out: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        sample_rate_hz: int,
        *,
        skip_bad: bool = False,
        name: str = "",
    ) -> "AudioFiles":
        """Read the headers of some files, several at a time; nothing is decoded.

        Args:
            paths: Files that soundfile reads.
            sample_rate_hz: Rate of the crops.
            skip_bad: Leave files out whose header is not usable.
            name: Of all together, for messages.

        Raises:
            AudioError: If a file's header is not usable, and all the more if none is.
            CorpusError: If there are no files.
        """
        if not paths:
            raise CorpusError(f"{name or 'audio files'}: none given; expected at least one file")
        with ThreadPoolExecutor(_THREADS) as threads:
            headers = list(threads.map(_header, paths))
        broken = [header for header in headers if isinstance(header, AudioError)]
        if broken and not (skip_bad and len(broken) < len(paths)):
            raise broken[0]
        lengths, kept, total = [], [], hashlib.sha256()
        for path, header in zip(paths, headers, strict=True):
            if not isinstance(header, AudioError):
                n_bytes, frames, rate_hz = header
                kept.append(str(path))
                lengths.append(resampled_length(frames, rate_hz, sample_rate_hz))
                total.update(f"{path.name}\0{n_bytes}\0{frames}\0{rate_hz}\n".encode())
        return cls(
            paths=tuple(kept),
            timeline=Timeline(name=name or str(paths[0].parent), lengths=np.array(lengths)),
            sample_rate_hz=sample_rate_hz,
            contents=total.hexdigest(),
            left_out=tuple(str(error) for error in broken),
        )

    @property
    def n_clips(self) -> int:
        """Number of files."""
        return len(self.paths)

    @property
    def n_samples(self) -> int:
        """Length of all files at `sample_rate_hz`."""
        return self.timeline.n_samples

    def digest(self) -> str:
        """Return the sha256 of file names, sizes, lengths and rates, in order."""
        return self.contents

    def draw(
        self,
        turns: Int64[np.ndarray, " clips"],
        rule: CropRule,
        *,
        seed: int,  # noqa: ARG002  (everything here comes from the step's generator)
        rng: np.random.Generator,
    ) -> Int64[np.ndarray, " cuts"]:
        """Draw files in proportion to their length, starts uniform within a file."""
        return self.timeline.cuts(self.timeline.draw_clips(len(turns), rng), rule, rng)

    def read(
        self, cuts: Int64[np.ndarray, " batch"], crop_samples: int
    ) -> Float[Tensor, "batch samples"]:
        """Decode the crops that start at some cuts."""
        return assemble(self.timeline, cuts, crop_samples, self._decode)

    def _decode(self, clip: int, first: int, n: int) -> Float[Tensor, " n"]:
        path = self.paths[clip]
        return decode_span(path, lambda: path, first=first, n=n, sample_rate_hz=self.sample_rate_hz)


def _header(path: Path) -> tuple[int, int, int] | AudioError:
    """Return bytes, frames and rate, or what is wrong with the file."""
    try:
        frames, rate_hz = read_header(str(path), str(path))
    except AudioError as error:
        return error
    return path.stat().st_size, frames, rate_hz


def find_files(folder: Path, suffixes: frozenset[str] = SUFFIXES) -> list[Path]:
    """List the files with some suffixes in a folder and all below it, sorted.

    Links to folders are followed, once each; hidden files and folders are left out.

    Raises:
        CorpusError: If a folder cannot be read.
    """
    try:
        found = [path for path in _walk(folder) if path.suffix.lower() in suffixes]
    except OSError as error:
        raise CorpusError(
            f"{error.filename}: cannot be read ({error.strerror}); expected a readable folder; "
            "correct its permissions"
        ) from error
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _walk(folder: Path) -> Iterator[Path]:
    seen = set()
    for where, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(where)
        folders[:] = [] if real in seen else sorted(f for f in folders if not f.startswith("."))
        if real not in seen:
            yield from (Path(where, name) for name in names if not name.startswith("."))
        seen.add(real)


def _refuse(error: OSError) -> None:
    raise error
