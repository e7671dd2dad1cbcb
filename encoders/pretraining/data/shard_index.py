"""Where the recordings of a WebDataset shard lie: found once, kept in the cache.

A shard is a plain tar. Scanning it reads the 512-byte header of every member and the audio header
of every recording, no more. What was found is kept as one small file per shard, keyed by the
shard's path, size and time of change, and renamed into place whole, so processes that build it at
the same time don't hurt each other.
"""

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from jaxtyping import Int64

from probe_bench.encoders.pretraining.data.decoding import SUFFIXES, read_header
from probe_bench.errors import AudioError, CorpusError, UserError

__all__ = ["Member", "ShardIndex", "audio_members", "index_shard", "member_name"]

_VERSION = 1


class Member(io.RawIOBase):
    """A stretch of an open file as a read-only file of its own.

    Reads give their own position to the system, so files that several threads or forked processes
    share have no common position to disturb.
    """

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can seek."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the member goes."""
        left = max(self._size - self._position, 0)
        n = os.preadv(self._descriptor, [memoryview(buffer)[:left]], self._offset + self._position)
        self._position += n
        return n


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """The recordings of one shard, in the order of the tar.

    Attributes:
        offsets: Where each begins in the tar, in bytes.
        sizes: Bytes of each.
        frames: Samples of each at its own rate.
        rates_hz: Sample rate of each.
        contents: sha256 of names, sizes, samples and rates, in order.
        broken: A line for each recording whose header is not usable; the others are counted above.
    """

    offsets: Int64[np.ndarray, " members"]
    sizes: Int64[np.ndarray, " members"]
    frames: Int64[np.ndarray, " members"]
    rates_hz: Int64[np.ndarray, " members"]
    contents: str
    broken: tuple[str, ...]


def index_shard(path: Path, cache: Path) -> ShardIndex:
    """Return the index of a shard, from the cache if it is there.

    Args:
        path: A tar.
        cache: Folder for indices.

    Raises:
        CorpusError: If the tar is unreadable, compressed, cut off or holds no audio.
    """
    kept = cache / f"{_key(path)}.npz"
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            held = {field.name: arrays[field.name] for field in fields(ShardIndex)}
            broken = tuple(held["broken"].tolist())
            return ShardIndex(**held | {"contents": str(held["contents"]), "broken": broken})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # not there, or damaged: made (again)
    index = _scan(path)
    _keep(index, kept)
    return index


def member_name(path: Path | str, offset: int) -> str:
    """Return `shard/member` for the member whose bytes begin at `offset`, for messages."""
    for member in audio_members(Path(path)):
        if member.offset_data == offset:
            return f"{path}/{member.name}"
    return f"{path}, member at byte {offset}"


def _key(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot be read ({error.strerror}); expected a tar; correct the path"
        ) from error
    about = f"{_VERSION} {path.resolve()} {status.st_size} {status.st_mtime_ns}"
    return hashlib.sha256(about.encode()).hexdigest()[:32]


def _scan(path: Path) -> ShardIndex:
    found: list[tuple[int, int, int, int]] = []
    broken: list[str] = []
    total = hashlib.sha256()
    with path.open("rb") as file:
        for member in audio_members(path):
            audio = Member(file.fileno(), member.offset_data, member.size)
            try:
                frames, rate_hz = read_header(audio, f"{path}/{member.name}")
            except AudioError as error:
                broken.append(str(error))
                continue
            found.append((member.offset_data, member.size, frames, rate_hz))
            total.update(f"{member.name}\0{member.size}\0{frames}\0{rate_hz}\n".encode())
    if not found and not broken:
        raise CorpusError(
            f"{path}: no audio in this tar; expected members named like 000000.flac or .wav; "
            "leave it out"
        )
    offsets, sizes, frames_, rates_hz = np.array(found, dtype=np.int64).reshape(-1, 4).T
    return ShardIndex(
        offsets=offsets,
        sizes=sizes,
        frames=frames_,
        rates_hz=rates_hz,
        contents=total.hexdigest(),
        broken=tuple(broken),
    )


def audio_members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the recordings of a tar, in its order.

    Raises:
        CorpusError: If the tar is unreadable, compressed or cut off.
    """
    size = path.stat().st_size
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if not member.isreg() or member.issparse() or name.name.startswith("."):
                    continue
                if member.offset_data + member.size > size:
                    raise CorpusError(
                        f"{path}: ends within {member.name}; expected a whole tar; copy it again"
                    )
                if name.suffix.lower() in SUFFIXES:
                    yield member
    except (tarfile.TarError, OSError) as error:
        raise CorpusError(
            f"{path}: not a readable tar ({error}); expected a plain, whole tar; decompress it or "
            "copy it again"
        ) from error


def _keep(index: ShardIndex, path: Path) -> None:
    held = {field.name: getattr(index, field.name) for field in fields(ShardIndex)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as scratch:
            np.savez(scratch, **held | {"broken": np.array(index.broken, dtype=np.str_)})
        Path(scratch.name).replace(path)
    except OSError as error:
        raise UserError(
            f"{path.parent}: cannot be written to ({error.strerror}); point --cache at a writable "
            "folder"
        ) from error
