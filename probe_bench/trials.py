"""Official verification trials that lie in a corpus's folder.

`trials.txt`: a line a trial, 1 (one speaker) or 0 (two), then two clips, as in VoxCeleb1's
`veri_test.txt`. `trials.csv`: the same between commas; a header `same,first,second` may come first.
Clips are named by their ids or by paths relative to the folder.

Clips that have no official part for the task `verification` get one: those of speakers whom the trials
name are test, all others train.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from probe_bench.alignments import decode
from probe_bench.corpus import EVERY_TASK, Clip, Corpus, Trial
from probe_bench.errors import CorpusError

__all__ = ["TRIAL_FILES", "read_trials", "with_trials"]

TRIAL_FILES = ("trials.csv", "trials.txt")

_TASK = "verification"
_HEADER = ["same", "first", "second"]


def with_trials(
    corpus: Corpus,
    folder: Path,
    *,
    names: Sequence[str] = TRIAL_FILES,
    root: Path | None = None,
) -> Corpus:
    """Give a corpus the official trials that its folder holds, if any.

    Args:
        corpus: Clips of that folder.
        folder: Where the trials lie.
        names: Files that may hold them; the first one there is read.
        root: Folder that the trials' paths start from; by default `folder`.

    Raises:
        CorpusError: As `read_trials`.
    """
    files = [folder / name for name in names if (folder / name).is_file()]
    if not files:
        return corpus
    trials = read_trials(files[0], corpus, root or folder)
    named = {clip for trial in trials for clip in (trial.first, trial.second)}
    tested = {_speaker(clip) for clip in corpus if clip.id in named}
    clips = tuple(
        _with_part(clip, "test" if _speaker(clip) in tested else "train") for clip in corpus
    )
    return replace(corpus, clips=clips, trials=trials)


def read_trials(file: Path, corpus: Corpus, root: Path) -> tuple[Trial, ...]:
    """Read the trials of one file.

    Raises:
        CorpusError: If a line is not a trial, a clip is unknown or stands on both sides, or there is
            none.
    """
    ids = {_path(clip, root): clip.id for clip in corpus} | {clip.id: clip.id for clip in corpus}
    trials = tuple(_trial(cells, f"{file}: line {line}", ids, root) for line, cells in _rows(file))
    if not trials:
        raise CorpusError(f"{file}: no trials; expected lines such as `1 a.wav b.wav`; remove it")
    return trials


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line that is not blank, with its number."""
    lines = decode(file.read_bytes()).splitlines()
    rows = (
        csv.reader(lines, skipinitialspace=True)
        if file.suffix == ".csv"
        else (line.split() for line in lines)
    )
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if any(cells) and not (number == 1 and cells == _HEADER and file.suffix == ".csv"):
            yield number, cells


def _trial(cells: list[str], where: str, ids: dict[str, str], root: Path) -> Trial:
    if len(cells) != 3 or cells[0] not in ("0", "1"):
        raise CorpusError(
            f"{where}: {' '.join(cells)!r}; expected 1 (one speaker) or 0 (two) and two clips, such "
            "as `1 a.wav b.wav`; correct the line"
        )
    unknown = [name for name in cells[1:] if name not in ids]
    if unknown:
        raise CorpusError(
            f"{where}: no clip {unknown[0]!r}; expected an id of the corpus or a path relative to "
            f"{root}; add the recording or remove the line"
        )
    first, second = (ids[name] for name in cells[1:])
    if first == second:
        raise CorpusError(f"{where}: {first!r} against itself; expected two clips; remove the line")
    return Trial(same=cells[0] == "1", first=first, second=second)


def _path(clip: Clip, root: Path) -> str:
    return clip.path.relative_to(root).as_posix() if clip.path.is_relative_to(root) else clip.id


def _speaker(clip: Clip) -> str:
    """Name the speaker; a clip without that label is a speaker of its own."""
    return clip.labels.get("speaker", f"clip {clip.id}")


def _with_part(clip: Clip, part: str) -> Clip:
    if _TASK in clip.splits or EVERY_TASK in clip.splits:
        return clip
    return replace(clip, splits={**clip.splits, _TASK: part})
