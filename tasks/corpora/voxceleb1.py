"""VoxCeleb1: interviews of 1,251 celebrities.

Layout: `wav/SPEAKER/VIDEO/*.wav` (development and test archives unpacked over one another) and, for
    the official identification split, `iden_split.txt` beside `wav`; for official verification trials,
    one of `veri_test2.txt` (cleaned) and `veri_test.txt`.
Splits: speaker identification by that list; without it videos are divided, as in the paper. With
    trials, the speakers that they name are the test part of verification and the others train.
"""

from pathlib import Path

from probe_bench.alignments import decode
from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.errors import CorpusError
from probe_bench.recordings import find_recordings, make_clip
from probe_bench.trials import with_trials

__all__ = ["CORPORA"]

_LAYOUT = "VoxCeleb1 with wav/id10001/VIDEO/00001.wav ..."
_TRIALS = ("veri_test2.txt", "veri_test.txt")
_PARTS = {"1": "train", "2": "valid", "3": "test"}


def _load(folder: Path) -> Corpus:
    files = find_recordings(folder, ("wav/*/*/*.wav",), _LAYOUT)
    parts = _identification_parts(folder / "iden_split.txt")
    corpus = Corpus(
        name="voxceleb1",
        clips=tuple(_clip(folder, file, parts) for file in files),
        licence="CC BY 4.0",
        revision="VoxCeleb1",
    )
    return with_trials(corpus, folder, names=_TRIALS, root=folder / "wav")


def _clip(folder: Path, file: Path, parts: dict[str, str]) -> Clip:
    part = parts.get(file.relative_to(folder / "wav").as_posix())
    return make_clip(
        folder,
        file,
        labels={"speaker": file.parents[1].name, "recording": file.parent.name},
        splits={"speaker": part} if part else None,
    )


def _identification_parts(file: Path) -> dict[str, str]:
    """Read iden_split.txt: 1, 2 or 3 and a path, one file a line."""
    if not file.is_file():
        return {}
    rows = [line.split() for line in decode(file.read_bytes()).splitlines() if line.strip()]
    bad = [row for row in rows if len(row) != 2 or row[0] not in _PARTS]
    if bad:
        raise CorpusError(f"{file}: line {' '.join(bad[0])!r}; expected 1, 2 or 3 and a path")
    return {path: _PARTS[number] for number, path in rows}


CORPORA = (
    CorpusSpec(
        name="voxceleb1",
        summary="interviews of 1,251 celebrities, speaker identification and verification",
        source="Nagrani et al. 2017, VoxCeleb: a large-scale speaker identification dataset",
        licence="CC BY 4.0",
        load=_load,
    ),
)
