"""ESC-50: 2,000 environmental sounds of 5 s in 50 classes.

Layout: `audio/*.wav` and `meta/esc50.csv`, as in the authors' repository.
Splits: the five prearranged folds; clips cut from one Freesound recording share a fold.
"""

import csv
from pathlib import Path

from probe_bench.alignments import decode
from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.errors import CorpusError
from probe_bench.recordings import find_recordings, make_clip

__all__ = ["CORPORA", "esc50_clips"]

_LAYOUT = "the ESC-50 repository with audio/*.wav and meta/esc50.csv"


def _load(folder: Path) -> Corpus:
    return Corpus(
        name="esc50",
        clips=esc50_clips(folder),
        licence="CC BY-NC 3.0",
        revision="ESC-50",
    )


def esc50_clips(folder: Path, *, esc10: bool = False) -> tuple[Clip, ...]:
    """Make the clips of ESC-50, or only those that are also in ESC-10."""
    rows = _rows(folder)
    return tuple(_clip(folder, row) for row in rows if not esc10 or row["esc10"] == "True")


def _rows(folder: Path) -> list[dict[str, str]]:
    """Read meta/esc50.csv in the order of file names."""
    (meta,) = find_recordings(folder, ("meta/esc50.csv",), _LAYOUT)
    rows = list(csv.DictReader(decode(meta.read_bytes()).splitlines()))
    needed = {"filename", "fold", "category", "src_file", "esc10"}
    if not rows or not needed <= set(rows[0]):
        raise CorpusError(f"{meta}: expected the columns {', '.join(sorted(needed))}")
    missing = [
        row["filename"] for row in rows if not (folder / "audio" / row["filename"]).is_file()
    ]
    if missing:
        raise CorpusError(
            f"{folder}: {len(missing)} of {len(rows)} files are missing, the first is "
            f"audio/{missing[0]}; expected {_LAYOUT}"
        )
    return sorted(rows, key=lambda row: row["filename"])


def _clip(folder: Path, row: dict[str, str]) -> Clip:
    category = row["category"].replace("_", " ")
    return make_clip(
        folder,
        folder / "audio" / row["filename"],
        labels={"class": category, "recording": row["src_file"]},
        tags=(category,),
        splits={"tagging": f"fold:{row['fold']}"},
    )


CORPORA = (
    CorpusSpec(
        name="esc50",
        summary="2,000 environmental sounds, 50 classes, 5 official folds",
        source="Piczak 2015, ESC: Dataset for Environmental Sound Classification",
        licence="CC BY-NC 3.0",
        load=_load,
    ),
)
