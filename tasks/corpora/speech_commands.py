"""Speech Commands: 35 English words in one second by thousands of speakers.

Layout: a folder of wavs for each word, `validation_list.txt` and `testing_list.txt`; torchaudio
    reads it.
Splits: the official lists, for a task of the name keyword; speakers never cross them.
"""

from collections.abc import Iterator
from pathlib import Path

from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.recordings import find_recordings, make_clip

__all__ = ["CORPORA"]

_LAYOUT = "Speech Commands with yes/*.wav ..., validation_list.txt and testing_list.txt"
_PARTS = {"training": "train", "validation": "valid", "testing": "test"}


def _load(folder: Path) -> Corpus:
    for needed in ("validation_list.txt", "testing_list.txt", "*/*_nohash_*.wav"):
        find_recordings(folder, (needed,), _LAYOUT)
    clips = [clip for subset in _PARTS for clip in _subset(folder.resolve(), subset)]
    return Corpus(
        name="speech-commands",
        clips=tuple(sorted(clips, key=lambda clip: clip.id)),
        licence="CC BY 4.0",
        revision="Speech Commands",
    )


def _subset(folder: Path, subset: str) -> Iterator[Clip]:
    """Make the clips of one official list that are there."""
    from torchaudio.datasets import SPEECHCOMMANDS  # noqa: PLC0415 - torch only where it is needed

    # torchaudio looks for ROOT/FOLDER_IN_ARCHIVE/NAME of an archive NAME.tar.gz: any folder will do.
    listed = SPEECHCOMMANDS(
        folder.parent, url=f"{folder.name}.tar.gz", folder_in_archive="", subset=subset
    )
    for i in range(len(listed)):
        within, _, keyword, speaker, _ = listed.get_metadata(i)
        path = folder.parent / within
        if path.is_file():
            yield make_clip(
                folder,
                path,
                labels={"keyword": keyword, "speaker": speaker},
                splits={"keyword": _PARTS[subset]},
            )


CORPORA = (
    CorpusSpec(
        name="speech-commands",
        summary="35 spoken words, official lists",
        source="Warden 2018, Speech Commands: a dataset for limited-vocabulary speech recognition",
        licence="CC BY 4.0",
        load=_load,
    ),
)
