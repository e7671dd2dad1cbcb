"""ESC-10: 400 environmental sounds of 5 s in 10 classes, free to use.

Layout: a folder `NNN - class` for each class, as in the authors' first release; or the ESC-50
    repository, where a column marks its clips.
File name: FOLD-SOURCE-TAKE; SOURCE is the Freesound recording that the clip was cut from.
Splits: the five prearranged folds; clips of one source share a fold.
"""

from pathlib import Path

from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.recordings import find_recordings, make_clip, name_parts
from probe_bench.tasks.corpora.esc50 import esc50_clips

__all__ = ["CORPORA"]

_LAYOUT = "ESC-10 with folders '001 - Dog bark' ... of .ogg or .wav, or ESC-50 with meta/esc50.csv"


def _load(folder: Path) -> Corpus:
    return Corpus(name="esc10", clips=_clips(folder), licence="CC BY 3.0", revision="ESC-10")


def _clips(folder: Path) -> tuple[Clip, ...]:
    if (folder / "meta" / "esc50.csv").is_file():
        return esc50_clips(folder, esc10=True)
    files = find_recordings(folder, ("[0-9]* - */*.ogg", "[0-9]* - */*.wav"), _LAYOUT)
    return tuple(_clip(folder, file) for file in files)


def _clip(folder: Path, file: Path) -> Clip:
    name = name_parts(r"(?P<fold>\d)-(?P<source>\d+)-(?P<take>[A-Z])", file, "FOLD-SOURCE-TAKE")
    category = file.parent.name.partition(" - ")[2].lower()
    return make_clip(
        folder,
        file,
        labels={"class": category, "recording": name["source"]},
        tags=(category,),
        splits={"tagging": f"fold:{name['fold']}"},
    )


CORPORA = (
    CorpusSpec(
        name="esc10",
        summary="400 environmental sounds, 10 classes, 5 official folds",
        source="Piczak 2015, ESC: Dataset for Environmental Sound Classification",
        licence="CC BY 3.0",
        load=_load,
    ),
)
