"""Any folder of recordings with a `manifest.csv`.

Columns:
    `path` (required): audio, relative to the folder or absolute.
    `id`: unique name; by default the path.
    `tags`: sound classes, separated by `;` or `|`; an empty cell means that there are none.
    `split`: train, valid, test or fold:K for every task; `split_TASK` for one task goes before it.
    `phones`: alignment file (.csv, .TextGrid, .phn), or `phone_sequence`: phones with spaces between.
    Any other (`speaker`, `emotion`, `recording` ...): a label; an empty cell means unknown.

Beside it may lie official verification trials, `trials.txt` or `trials.csv` (`probe_bench.trials`).
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import soundfile

from probe_bench.alignments import decode, read_phones
from probe_bench.corpus import EVERY_TASK, Clip, Corpus, Segment
from probe_bench.errors import CorpusError
from probe_bench.recordings import make_clip

__all__ = ["load_manifest", "manifest_labels", "manifest_paths"]

_FIELDS = ("path", "id", "tags", "split", "phones", "phone_sequence")


def load_manifest(name: str, folder: Path) -> Corpus:
    """Read the corpus that `folder/manifest.csv` describes.

    The licence is the first line of a file `LICENSE` there, else unknown; the revision is the start
    of the manifest's sha256.

    Args:
        name: Name on the command line.
        folder: Holds `manifest.csv`; relative paths start here.

    Raises:
        CorpusError: If the manifest is missing or damaged, files are missing, or labels do not fit.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise CorpusError(f"{folder}: no manifest.csv found; expected a CSV with a column path")
    data = manifest.read_bytes()
    rows = _rows(data, manifest)
    _refuse_missing([row["path"] for row in rows], folder, manifest)
    clips = sorted((_clip(row, folder, manifest) for row in rows), key=lambda clip: clip.id)
    _refuse_twins(clips, manifest)
    revision = hashlib.sha256(data).hexdigest()[:12]
    return Corpus(name=name, clips=tuple(clips), licence=_licence(folder), revision=revision)


def manifest_paths(manifest: Path) -> list[Path]:
    """List the audio of a manifest of any name, in its order; no label is read.

    Raises:
        CorpusError: If the manifest is damaged or files are missing.
    """
    return [path for path, _ in manifest_labels(manifest)]


def manifest_labels(manifest: Path) -> list[tuple[Path, dict[str, str]]]:
    """List the audio of a manifest of any name with its labels, in its order; no audio is read.

    Raises:
        CorpusError: If the manifest is damaged or files are missing.
    """
    rows = _rows(manifest.read_bytes(), manifest)
    _refuse_missing([row["path"] for row in rows], manifest.parent, manifest)
    return [(manifest.parent / row["path"], _labels(row)) for row in rows]


def _rows(data: bytes, manifest: Path) -> list[dict[str, str]]:
    """Read the table; every row has every column."""
    try:
        lines = [line for line in csv.reader(io.StringIO(decode(data)), strict=True) if line]
    except (csv.Error, ValueError) as error:
        raise CorpusError(f"{manifest}: not a readable CSV ({error}); export it again") from error
    if len(lines) < 2:
        raise CorpusError(
            f"{manifest}: {len(lines)} lines; expected a header and a row for each clip"
        )
    header, *lines = lines
    columns = [column.strip() for column in header]
    _check_columns(columns, manifest)
    for number, line in enumerate(lines, start=1):
        if len(line) != len(columns):
            raise CorpusError(
                f"{manifest}: row {number} has {len(line)} cells; expected {len(columns)}; "
                "put cells with a comma in double quotes"
            )
    return [dict(zip(columns, (cell.strip() for cell in line), strict=True)) for line in lines]


def _check_columns(columns: list[str], manifest: Path) -> None:
    """Refuse a header without path, with a column twice, or with two kinds of phones."""
    found = ", ".join(columns)
    if "path" not in columns:
        raise CorpusError(f"{manifest}: columns {found}; expected a column path")
    twice = [column for column, n in Counter(columns).items() if n > 1 or not column]
    if twice:
        raise CorpusError(f"{manifest}: columns {found}; {twice[0]!r} is empty or stands twice")
    if {"phones", "phone_sequence"} <= set(columns):
        raise CorpusError(
            f"{manifest}: columns phones and phone_sequence; expected only one of them"
        )


def _refuse_missing(paths: list[str], folder: Path, manifest: Path) -> None:
    """Refuse a manifest that lists files which are not there."""
    missing = [path for path in paths if not (folder / path).is_file()]
    if missing:
        raise CorpusError(
            f"{manifest}: {len(missing)} of {len(paths)} files are missing, the first is "
            f"{missing[0]!r}; expected paths relative to {folder}, or absolute"
        )


def _refuse_twins(clips: list[Clip], manifest: Path) -> None:
    """Refuse an id that two rows have."""
    for one, other in pairwise(clips):
        if one.id == other.id:
            raise CorpusError(
                f"{manifest}: id {one.id!r} stands twice; expected unique ids; correct the column "
                "id, or the column path where there is none"
            )


def _clip(row: Mapping[str, str], folder: Path, manifest: Path) -> Clip:
    """Make the clip of one row."""
    path = folder / row["path"]
    clip_id = row.get("id", path.name if Path(row["path"]).is_absolute() else row["path"])
    if not clip_id:
        raise CorpusError(f"{manifest}: the row of {row['path']} has an empty id; expected a name")
    return make_clip(
        folder,
        path,
        clip_id=clip_id,
        labels=_labels(row),
        tags=_tags(row["tags"]) if "tags" in row else None,
        phones=_phones(folder / row["phones"], path) if row.get("phones") else None,
        phone_sequence=tuple(row["phone_sequence"].split()) if row.get("phone_sequence") else None,
        splits=_splits(row),
    )


def _labels(row: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a row that are known."""
    return {column: cell for column, cell in row.items() if cell and _is_label(column)}


def _is_label(column: str) -> bool:
    return column not in _FIELDS and not column.startswith("split_")


def _tags(cell: str) -> tuple[str, ...]:
    """Read sound classes in a fixed order, each once."""
    return tuple(sorted({tag.strip() for tag in re.split(r"[;|]", cell)} - {""}))


def _splits(row: Mapping[str, str]) -> dict[str, str]:
    """Read the parts by task."""
    parts = {c.removeprefix("split_"): cell for c, cell in row.items() if c.startswith("split_")}
    parts[EVERY_TASK] = row.get("split", "")
    return {task: part for task, part in parts.items() if part}


def _phones(path: Path, audio: Path) -> tuple[Segment, ...]:
    """Read an alignment; .phn files need the rate that the audio's header states.

    There is nothing to align with audio that cannot be read: loading it will say so.
    """
    try:
        rate_hz = soundfile.info(audio).samplerate
    except (OSError, soundfile.SoundFileError):
        return ()
    return read_phones(path, rate_hz)


def _licence(folder: Path) -> str:
    """Return the first line of the folder's LICENSE."""
    file = folder / "LICENSE"
    lines = decode(file.read_bytes()).strip().splitlines() if file.is_file() else []
    return lines[0].strip() if lines else "unknown"
