"""LibriSpeech: read English of 2,484 speakers, with forced-aligned phones where they are given.

Layout: `SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac`, alone or under `LibriSpeech/`. TextGrids
    named like the audio may lie anywhere in the folder, e.g. unpacked over it.
Splits: phoneme takes train-* for train, dev-* for valid and test-* for test. Speakers never cross
    subsets, so speaker identification is divided by chapter instead.

Phones are ARPABET without stress and silence.
"""

from pathlib import Path

from probe_bench.alignments import arpabet, read_phones
from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.recordings import find_recordings, make_clip, name_parts

__all__ = ["CORPORA"]

_LAYOUT = "LibriSpeech with SUBSET/SPEAKER/CHAPTER/*.flac, e.g. dev-clean/84/121123/"
_NAME = r"(?P<speaker>\d+)-(?P<chapter>\d+)-(?P<utterance>\d+)"
_PARTS = {"train": "train", "dev": "valid", "test": "test"}
_RATE_HZ = 16000


def _load(folder: Path) -> Corpus:
    files = find_recordings(folder, ("LibriSpeech/*/*/*/*.flac", "*/*/*/*.flac"), _LAYOUT)
    grids = {file.stem: file for file in folder.rglob("*.TextGrid")}
    return Corpus(
        name="librispeech",
        clips=tuple(_clip(folder, file, grids.get(file.stem)) for file in files),
        licence="CC BY 4.0",
        revision="LibriSpeech",
    )


def _clip(folder: Path, file: Path, grid: Path | None) -> Clip:
    name = name_parts(_NAME, file, "SPEAKER-CHAPTER-NNNN")
    subset = file.parents[2].name
    part = _PARTS.get(subset.partition("-")[0])
    recording = f"{name['speaker']}-{name['chapter']}"
    return make_clip(
        folder,
        file,
        labels={"speaker": name["speaker"], "recording": recording, "subset": subset},
        phones=arpabet(read_phones(grid, _RATE_HZ)) if grid else None,
        splits={"phoneme": part} if part else None,
    )


CORPORA = (
    CorpusSpec(
        name="librispeech",
        summary="read English, speakers, phones where TextGrids are given",
        source="Panayotov et al. 2015, LibriSpeech; openslr.org/12",
        licence="CC BY 4.0",
        load=_load,
    ),
)
