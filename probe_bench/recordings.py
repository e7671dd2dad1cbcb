"""Find recordings in a data set's folder and make clips of them."""

import re
from collections.abc import Mapping
from pathlib import Path

import soundfile

from probe_bench.corpus import Clip, Segment
from probe_bench.errors import CorpusError

__all__ = ["duration_s", "find_recordings", "make_clip", "name_parts"]


def find_recordings(folder: Path, patterns: tuple[str, ...], expected: str) -> list[Path]:
    """List the files of the first pattern that matches any, sorted, hidden files left out.

    Args:
        folder: The data set's folder.
        patterns: Globs relative to `folder`, one a known layout.
        expected: The layout in words, for the message.

    Raises:
        CorpusError: If the folder is missing or no pattern matches.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: not a folder; expected {expected}")
    for pattern in patterns:
        files = [file for file in folder.glob(pattern) if not file.name.startswith(".")]
        if files:
            return sorted(files, key=lambda file: file.relative_to(folder).as_posix())
    raise CorpusError(f"{folder}: no {' or '.join(patterns)} found; expected {expected}")


def name_parts(pattern: str, file: Path, expected: str) -> dict[str, str]:
    """Read the named groups of a regular expression from a file's name without its suffix.

    Raises:
        CorpusError: If the whole name does not match.
    """
    match = re.fullmatch(pattern, file.stem)
    if match is None:
        raise CorpusError(
            f"{file}: name {file.stem!r} does not fit; expected {expected}; rename or remove it"
        )
    return match.groupdict()


def make_clip(
    folder: Path,
    path: Path,
    *,
    clip_id: str | None = None,
    labels: Mapping[str, str],
    tags: tuple[str, ...] | None = None,
    phones: tuple[Segment, ...] | None = None,
    phone_sequence: tuple[str, ...] | None = None,
    splits: Mapping[str, str] | None = None,
) -> Clip:
    """Make a clip of one file; by default its id is the path within `folder`.

    Its length is what the header states. A file whose header cannot be read still becomes a clip, of
    0 s and without phones, so that loading its audio reports it (or leaves it out) like every other
    broken recording.
    """
    length_s = duration_s(path)
    if phones is not None and phone_sequence is None:
        phone_sequence = tuple(segment.label for segment in phones)
    return Clip(
        id=clip_id or path.relative_to(folder).as_posix(),
        path=path,
        duration_s=length_s,
        labels=labels,
        tags=tags,
        phones=phones if length_s else None,
        phone_sequence=phone_sequence,
        splits=splits or {},
    )


def duration_s(path: Path) -> float:
    """Return the length that the file's header states, 0 where the header cannot be read."""
    try:
        info = soundfile.info(path)
    except (OSError, soundfile.SoundFileError):
        return 0.0
    return float(info.frames / info.samplerate)
