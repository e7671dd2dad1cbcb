"""speechocean762: read English of 250 Mandarin speakers, with canonical phones without times.

Layout: Kaldi folders `train` and `test` (`wav.scp`, `utt2spk`, `spk2age`, `spk2gender`, `text`),
    `resource/text-phone` and the audio that `wav.scp` names.
Splits: phoneme takes the official, speaker-disjoint train and test lists. Speaker identification
    needs every speaker in every part: of each speaker's files by name, the first 3/5 are train and
    the rest is test.

The phones are what should have been said, not always what was; stress is dropped.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from probe_bench.alignments import arpabet_phone, decode
from probe_bench.corpus import Clip, Corpus, CorpusSpec
from probe_bench.errors import CorpusError
from probe_bench.recordings import find_recordings, make_clip

__all__ = ["CORPORA"]

_LAYOUT = "speechocean762 with WAVE/, train/, test/ and resource/text-phone"


def _load(folder: Path) -> Corpus:
    (phone_list,) = find_recordings(folder, ("resource/text-phone",), _LAYOUT)
    phones = _utterance_phones(phone_list)
    clips = [clip for part in ("train", "test") for clip in _part(folder, part, phones)]
    return Corpus(
        name="speechocean762",
        clips=tuple(sorted(clips, key=lambda clip: clip.id)),
        licence="Apache-2.0",
        revision="speechocean762",
    )


def _part(folder: Path, part: str, phones: Mapping[str, tuple[str, ...]]) -> list[Clip]:
    """Make the clips of one official list."""
    lists = find_recordings(folder, (f"{part}/*",), _LAYOUT)
    tables = {file.name: _table(file) for file in lists}
    lacking = {"wav.scp", "utt2spk", "spk2age", "spk2gender"} - set(tables)
    if lacking:
        raise CorpusError(f"{folder / part}: no {', '.join(sorted(lacking))}; expected {_LAYOUT}")
    audio, speakers = tables["wav.scp"], tables["utt2spk"]
    learnt = _first_of_each(speakers)
    clips = []
    for utterance, path in sorted(audio.items()):
        if not (folder / path).is_file():
            raise CorpusError(f"{folder / path}: missing, but listed in {part}/wav.scp")
        speaker = speakers[utterance]
        age, gender = tables["spk2age"].get(speaker), tables["spk2gender"].get(speaker)
        known = {"speaker": speaker, "age": age, "gender": gender}
        clips.append(
            make_clip(
                folder,
                folder / path,
                labels={name: label for name, label in known.items() if label},
                phone_sequence=phones.get(utterance),
                splits={"phoneme": part, "speaker": "train" if utterance in learnt else "test"},
            )
        )
    return clips


def _first_of_each(speakers: Mapping[str, str]) -> set[str]:
    """Return the first 3/5 of each speaker's utterances by name."""
    spoken: dict[str, list[str]] = defaultdict(list)
    for utterance in sorted(speakers):
        spoken[speakers[utterance]].append(utterance)
    return {u for names in spoken.values() for u in names[: round(0.6 * len(names))]}


def _table(file: Path) -> dict[str, str]:
    """Read a Kaldi list: a key and the rest of the line."""
    rows = (line.split(maxsplit=1) for line in decode(file.read_bytes()).splitlines())
    return {row[0]: row[1].strip() for row in rows if len(row) == 2}


def _utterance_phones(file: Path) -> dict[str, tuple[str, ...]]:
    """Join the words of text-phone: UTTERANCE.WORD and its phones."""
    words: dict[str, dict[int, str]] = defaultdict(dict)
    for key, phones in _table(file).items():
        utterance, _, word = key.rpartition(".")
        words[utterance][int(word)] = phones
    return {
        utterance: tuple(
            arpabet_phone(phone) for word in sorted(said) for phone in said[word].split()
        )
        for utterance, said in words.items()
    }


CORPORA = (
    CorpusSpec(
        name="speechocean762",
        summary="read English of Mandarin speakers, children and adults, phone sequences",
        source="Zhang et al. 2021, speechocean762: an open-source non-native English speech corpus",
        licence="Apache-2.0",
        load=_load,
    ),
)
