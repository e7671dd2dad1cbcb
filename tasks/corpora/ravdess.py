"""RAVDESS, speech only: 24 North American actors say 2 sentences in 8 emotions.

Layout: `Actor_NN/MODALITY-CHANNEL-EMOTION-INTENSITY-SENTENCE-REPETITION-ACTOR.wav`; only audio of
    speech (03-01-...) is read, songs are passed over.
Splits: none official; actors are divided.
"""

from pathlib import Path

from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.recordings import find_recordings, make_clip, name_parts

__all__ = ["CORPORA"]

_NAME = (
    r"03-01-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<text>0[12])"
    r"-(?P<repetition>0[12])-(?P<speaker>\d\d)"
)
_EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}


def _load(folder: Path) -> Corpus:
    layout = "RAVDESS speech with Actor_01/03-01-01-01-01-01-01.wav ..."
    patterns = ("Actor_*/03-01-*.wav", "*/Actor_*/03-01-*.wav")
    return Corpus(
        name="ravdess",
        clips=tuple(_clip(folder, file) for file in find_recordings(folder, patterns, layout)),
        licence="CC BY-NC-SA 4.0",
        revision="RAVDESS",
    )


def _clip(folder: Path, file: Path) -> Clip:
    labels = name_parts(_NAME, file, "seven two-digit codes, e.g. 03-01-06-01-02-01-12")
    return make_clip(folder, file, labels=labels | {"emotion": _EMOTIONS[labels["emotion"]]})


CORPORA = (
    CorpusSpec(
        name="ravdess",
        summary="acted emotions, 24 actors, 8 emotions",
        source="Livingstone and Russo 2018, The Ryerson audio-visual database; zenodo.org/record/1188976",
        licence="CC BY-NC-SA 4.0",
        load=_load,
    ),
)
