"""Berlin emotional speech (EmoDB): 10 German actors, 10 sentences, 7 emotions, hand-labelled phones.

Layout: `wav/*.wav` and `lablaut/*.lablaut`; `dataset/CLASS/*.wav` is taken too.
File name: speaker (2 digits), sentence (a01 ... b10), emotion (German initial), version.

Splits (there is no official one; ten speakers are too few for a single test part):
    emotion: leave one speaker out, as most of the literature does.
    phoneme: five folds of one woman and one man.
    speaker: five folds of two sentences, so that a voice is never tested on a sentence it was
        learnt from.

Phones: bursts, aspirations and prevoicing are merged into their stop (`t !t tasp` -> `t`); a line
without a label, or with a label that starts with + or -, changes a voice quality while the phone
before it goes on. Silence around the sentence (`.`) and pauses within it, silent or filled (`(`,
`(gef`), are no phones. Rare phones keep their labels.
"""

import re
from pathlib import Path

from probe_bench.alignments import decode, xlabel_segments
from probe_bench.corpus import Clip, Corpus, CorpusSpec, Segment
from probe_bench.recordings import find_recordings, make_clip, name_parts

__all__ = ["CORPORA"]

_LAYOUT = "EmoDB with wav/*.wav and lablaut/*.lablaut"
_NAME = r"(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<emotion>[WLEAFTN])(?P<version>[a-z])"
_EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
_NO_PHONES = ".("  # how labels of silence and pauses begin
_SPEAKER_PAIRS = ("08 03", "09 10", "13 11", "14 12", "16 15")  # a woman and a man each
_TEXT_PAIRS = ("a01 a02", "a04 a05", "a07 b01", "b02 b03", "b09 b10")


def _load(folder: Path) -> Corpus:
    files = find_recordings(folder, ("wav/*.wav", "dataset/*/*.wav", "*.wav"), _LAYOUT)
    labels = {file.name[:7]: file for file in folder.glob("lablaut/*.lablaut")}
    return Corpus(
        name="emodb",
        clips=tuple(_clip(folder, file, labels.get(file.stem)) for file in files),
        licence="CC0-1.0",
        revision="EmoDB",
    )


def _clip(folder: Path, file: Path, lablaut: Path | None) -> Clip:
    name = name_parts(_NAME, file, "e.g. 03a01Wa: speaker, sentence, emotion letter, version")
    labels = {key: name[key] for key in ("speaker", "text")}
    return make_clip(
        folder,
        file,
        labels=labels | {"emotion": _EMOTIONS[name["emotion"]]},
        phones=_phones(decode(lablaut.read_bytes())) if lablaut else None,
        splits={
            "emotion": f"fold:{name['speaker']}",
            "phoneme": _fold(name["speaker"], _SPEAKER_PAIRS),
            "speaker": _fold(name["text"], _TEXT_PAIRS),
        },
    )


def _fold(name: str, pairs: tuple[str, ...]) -> str:
    return next(f"fold:{i}" for i, pair in enumerate(pairs, start=1) if name in pair)


def _phones(text: str) -> tuple[Segment, ...] | None:
    """Read a lablaut file, whose times are where segments start; None if it has no labels."""
    if not text.strip():
        return None
    merged: list[Segment] = []
    for segment in xlabel_segments(text, times="start"):
        phone, goes_on = _phone(segment.label)
        last = merged[-1] if merged else None
        if last and (not phone or (goes_on and last.label == phone)):
            merged[-1] = Segment(start_s=last.start_s, end_s=segment.end_s, label=last.label)
        elif phone:
            merged.append(Segment(start_s=segment.start_s, end_s=segment.end_s, label=phone))
    return tuple(each for each in merged if each.label[0] not in _NO_PHONES) or None


def _phone(label: str) -> tuple[str, bool]:
    """Name the phone of a label, and say whether it belongs to the same stop as the one before."""
    phone = re.split(r"[+-]", label)[0]
    burst = re.fullmatch(r"!(.+)|(.)asp", phone)
    if burst:
        return burst[1] or burst[2], True
    return (phone[1:], False) if re.fullmatch(r"_.", phone) else (phone, False)


CORPORA = (
    CorpusSpec(
        name="emodb",
        summary="German acted emotions, 10 speakers, hand-labelled phones",
        source="Burkhardt et al. 2005, A database of German emotional speech",
        licence="CC0-1.0",
        load=_load,
    ),
)
