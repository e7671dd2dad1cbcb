"""Folders that commands write to, and those of the cache."""

from pathlib import Path

from probe_bench.errors import UserError

__all__ = ["make_cached", "make_folder"]


def make_folder(folder: Path) -> Path:
    """Make a folder if it is not there and return it.

    Raises:
        UserError: If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe-bench"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made or written to ({error.strerror}); choose another --out"
        ) from error
    return folder


def make_cached(folder: Path) -> None:
    """Make a folder of the cache if it is not there.

    Raises:
        UserError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); point --cache at a writable folder"
        ) from error
