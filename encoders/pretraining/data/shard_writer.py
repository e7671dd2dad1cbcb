"""Write recordings as WebDataset shards."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from probe_bench.encoders.pretraining.data.files import AudioFiles
from probe_bench.errors import CorpusError

__all__ = ["write_shards"]

_ANY_RATE_HZ = 16_000


def write_shards(
    files: Sequence[Path], folder: Path, *, shard_bytes: int = 10**9, seed: int | None = 0
) -> list[Path]:
    """Copy recordings, as they are, into tars that any WebDataset reader takes.

    The order is shuffled once, since readers only shuffle within a few shards. The same files and
    seed give the same bytes. A shard that stands already is replaced whole.

    Args:
        files: Recordings, e.g. `[clip.path for clip in corpus]`.
        folder: Gets `shards-000000.tar` and so on; made if it is not there.
        shard_bytes: A shard is closed when it has reached this size.
        seed: Of the order; None keeps it.

    Returns:
        The shards.

    Raises:
        CorpusError: If there are no files or one cannot be read, or the folder cannot be written or
            holds shards beyond these.
        AudioError: If a recording's header is not usable.
    """
    if not files:
        raise CorpusError(f"{folder}: no recordings to write; expected at least one file")
    AudioFiles.open(files, _ANY_RATE_HZ)  # reads every header, several at a time
    order = np.arange(len(files))
    order = order if seed is None else np.random.default_rng(seed).permutation(order)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        divided = list(_divide(files, order, shard_bytes))
        paths = [folder / f"shards-{number:06d}.tar" for number in range(len(divided))]
        others = sorted(set(folder.glob("shards-*.tar")) - set(paths))
        if others:
            raise CorpusError(
                f"{others[0]}: is of another packing, whose recordings would be mixed in; expected "
                f"a folder without it; remove it or write elsewhere"
            )
        return [
            _write_shard(files, members, path) for members, path in zip(divided, paths, strict=True)
        ]
    except OSError as error:
        raise CorpusError(
            f"{error.filename or folder}: {error.strerror}; expected readable recordings and room "
            f"in {folder}; correct and write again"
        ) from error


def _divide(files: Sequence[Path], order: np.ndarray, shard_bytes: int) -> Iterator[list[int]]:
    members, n_bytes = [], 0
    for number in order.tolist():
        members.append(number)
        n_bytes += files[number].stat().st_size
        if n_bytes >= shard_bytes:
            yield members
            members, n_bytes = [], 0
    if members:
        yield members


def _write_shard(files: Sequence[Path], members: Sequence[int], path: Path) -> Path:
    """Write one tar; members are named by their number, since readers cut names at the first dot."""
    scratch = path.with_suffix(".tmp")
    with tarfile.open(scratch, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in members:
            about = tarfile.TarInfo(f"{number:09d}{files[number].suffix.lower()}")
            about.size = files[number].stat().st_size
            with files[number].open("rb") as file:
                tar.addfile(about, file)
    scratch.replace(path)
    return path
