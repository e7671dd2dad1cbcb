"""LJ Speech: one speaker of English, with forced-aligned phones where TextGrids are given.

Layout: `wavs/*.wav` (or `flac/*.flac`), and `TextGrid/*.TextGrid` as from the Montreal Forced
    Aligner, with the tier `phones`.
Splits: the last quarter of the aligned files is test, the rest is train (there is no official one).

All clips have one speaker, so clips carry no speaker label: nothing could be disjoint by it, and
the numbers hold within this voice. Phones are ARPABET without stress and silence.
"""

from pathlib import Path

from probe_bench.alignments import arpabet, read_phones
from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.recordings import find_recordings, make_clip, name_parts

__all__ = ["CORPORA"]

_LAYOUT = "LJ Speech with wavs/LJ001-0001.wav ... and TextGrid/LJ001-0001.TextGrid ..."
_RATE_HZ = 22050


def _load(folder: Path) -> Corpus:
    files = find_recordings(folder, ("wavs/*.wav", "flac/*.flac"), _LAYOUT)
    grids = {file.stem: file for file in folder.glob("TextGrid/**/*.TextGrid")}
    aligned = [file.stem for file in files if file.stem in grids]
    test = set(aligned[len(aligned) - len(aligned) // 4 :])
    return Corpus(
        name="ljspeech",
        clips=tuple(_clip(folder, file, grids.get(file.stem), file.stem in test) for file in files),
        licence="public domain",
        revision="LJSpeech-1.1",
    )


def _clip(folder: Path, file: Path, grid: Path | None, test: bool) -> Clip:
    return make_clip(
        folder,
        file,
        labels=name_parts(r"(?P<chapter>LJ\d{3})-\d{4}", file, "e.g. LJ001-0001"),
        phones=arpabet(read_phones(grid, _RATE_HZ)) if grid else None,
        splits={"phoneme": "test" if test else "train"} if grid else None,
    )


CORPORA = (
    CorpusSpec(
        name="ljspeech",
        summary="one English speaker, phones where TextGrids are given",
        source="Ito and Johnson 2017, The LJ Speech Dataset, keithito.com/LJ-Speech-Dataset",
        licence="public domain",
        load=_load,
    ),
)
