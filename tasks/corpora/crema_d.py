"""CREMA-D: 91 English-speaking actors say 12 sentences in 6 emotions.

Layout: `AudioWAV/ACTOR_SENTENCE_EMOTION_LEVEL.wav`.
Splits: none official; actors are divided.
"""

from pathlib import Path

from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.recordings import find_recordings, make_clip, name_parts

__all__ = ["CORPORA"]

_NAME = (
    r"(?P<speaker>\d{4})_(?P<text>[A-Z]{3})_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<level>[A-Z]+)"
)
_EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}


def _load(folder: Path) -> Corpus:
    layout = "CREMA-D with AudioWAV/1001_DFA_ANG_XX.wav ..."
    files = find_recordings(folder, ("AudioWAV/*.wav",), layout)
    return Corpus(
        name="crema-d",
        clips=tuple(_clip(folder, file) for file in files),
        licence="ODbL 1.0",
        revision="CREMA-D",
    )


def _clip(folder: Path, file: Path) -> Clip:
    labels = name_parts(_NAME, file, "ACTOR_SENTENCE_EMOTION_LEVEL, e.g. 1001_DFA_ANG_XX")
    return make_clip(folder, file, labels=labels | {"emotion": _EMOTIONS[labels["emotion"]]})


CORPORA = (
    CorpusSpec(
        name="crema-d",
        summary="acted emotions, 91 actors, 6 emotions",
        source="Cao et al. 2014, CREMA-D: crowd-sourced emotional multimodal actors dataset",
        licence="ODbL 1.0",
        load=_load,
    ),
)
