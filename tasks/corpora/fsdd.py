"""Free Spoken Digit Dataset: 6 speakers say the ten English digits 50 times each, 8 kHz.

Layout: `recordings/DIGIT_SPEAKER_TAKE.wav`.
Splits: takes 0 to 4 are test, the rest is train (the data set's own rule).
"""

from pathlib import Path

from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.recordings import find_recordings, make_clip, name_parts

__all__ = ["CORPORA"]

_NAME = r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)"


def _load(folder: Path) -> Corpus:
    files = find_recordings(
        folder, ("recordings/*.wav",), "FSDD with recordings/0_jackson_0.wav ..."
    )
    return Corpus(
        name="fsdd",
        clips=tuple(_clip(folder, file) for file in files),
        licence="CC BY-SA 4.0",
        revision="FSDD",
    )


def _clip(folder: Path, file: Path) -> Clip:
    labels = name_parts(_NAME, file, "DIGIT_SPEAKER_TAKE")
    part = "test" if int(labels["take"]) < 5 else "train"
    return make_clip(folder, file, labels=labels, splits={"speaker": part, "digit": part})


CORPORA = (
    CorpusSpec(
        name="fsdd",
        summary="spoken digits, 6 speakers, 8 kHz, official test takes",
        source="Jackson et al. 2018, Free Spoken Digit Dataset, doi 10.5281/zenodo.1342401",
        licence="CC BY-SA 4.0",
        load=_load,
    ),
)
