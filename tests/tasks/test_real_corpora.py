"""Loaders of real data sets: on small fake folders in the official layout, and on the data itself."""

import json
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from probe_bench.corpus import Corpus
from probe_bench.errors import CorpusError
from probe_bench.registry import corpora, tasks
from probe_bench.splits import check_leaks, plan_folds

REAL = sorted(name for name, spec in corpora().items() if not spec.embedded)
NAMES = {
    "crema-d",
    "emodb",
    "esc10",
    "esc50",
    "fsdd",
    "hear",
    "librispeech",
    "ljspeech",
    "ravdess",
    "speech-commands",
    "speechocean762",
    "voxceleb1",
}
GRID = '"ooTextFile"\n"TextGrid"\n0 1\n<exists>\n1\n"IntervalTier" "phones" 0 1\n3\n'
GRID += '0 0.2 "sil"\n0.2 0.5 "HH"\n0.5 1 "AH0"\n'


def wav(path: Path, seconds: float = 1.0, rate_hz: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(path.as_posix())).uniform(-0.5, 0.5, int(seconds * rate_hz))
    soundfile.write(path, samples, rate_hz)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def load(name: str, folder: Path) -> Corpus:
    corpus = corpora()[name].load(folder)
    assert corpus.name == name
    assert [clip.id for clip in corpus] == sorted(clip.id for clip in corpus)
    return corpus


def part_of(corpus: Corpus, task: str) -> list[str | None]:
    return [clip.splits.get(task) for clip in corpus]


def test_the_known_data_sets_are_registered() -> None:
    assert set(REAL) >= NAMES


@pytest.mark.parametrize("name", sorted(corpora()))
def test_spec_is_complete(name: str) -> None:
    spec = corpora()[name]
    assert spec.name == name == name.lower()
    assert spec.summary
    assert spec.source
    assert spec.licence
    assert "\n" not in spec.summary + spec.source + spec.licence


@pytest.mark.parametrize("name", REAL)
def test_missing_or_wrong_folder_is_one_line(name: str, tmp_path: Path) -> None:
    text(tmp_path / "readme.txt", "something else")
    for folder, found in ((tmp_path / "none", "not a folder"), (tmp_path, "no .* found")):
        with pytest.raises(CorpusError, match=f"{found}; expected") as caught:
            corpora()[name].load(folder)
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("esc10", "001 - Dog bark/dog.ogg"),
        ("emodb", "wav/hello.wav"),
        ("fsdd", "recordings/one.wav"),
        ("ljspeech", "wavs/chapter.wav"),
        ("librispeech", "dev-clean/84/1/84.flac"),
        ("crema-d", "AudioWAV/1001_XXX.wav"),
        ("ravdess", "Actor_01/03-01-99-01-01-01-01.wav"),
    ],
)
def test_unknown_file_name_is_refused(name: str, file: str, tmp_path: Path) -> None:
    text(tmp_path / file, "")
    with pytest.raises(CorpusError, match="does not fit; expected"):
        corpora()[name].load(tmp_path)


def test_esc10(tmp_path: Path) -> None:
    wav(tmp_path / "001 - Dog bark" / "1-100-A.ogg")
    wav(tmp_path / "001 - Dog bark" / "2-200-B.ogg")
    wav(tmp_path / "002 - Rain" / "1-300-A.ogg")
    corpus = load("esc10", tmp_path)
    assert [clip.tags for clip in corpus] == [("dog bark",), ("dog bark",), ("rain",)]
    assert [clip.labels["recording"] for clip in corpus] == ["100", "200", "300"]
    assert part_of(corpus, "tagging") == ["fold:1", "fold:2", "fold:1"]
    assert corpus.clips[0].duration_s == 1


def test_esc50_and_the_clips_that_are_esc10(tmp_path: Path) -> None:
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for name, category, esc10 in (("1-1-A-0", "sea_waves", True), ("2-9-A-1", "frog", False)):
        fold, source = name.split("-")[:2]
        rows.append(f"{name}.wav,{fold},0,{category},{esc10},{source},A")
        wav(tmp_path / "audio" / f"{name}.wav")
    text(tmp_path / "meta" / "esc50.csv", "\n".join(rows) + "\n")
    corpus = load("esc50", tmp_path)
    assert [clip.tags for clip in corpus] == [("sea waves",), ("frog",)]
    assert part_of(corpus, "tagging") == ["fold:1", "fold:2"]
    assert corpus.clips[1].labels == {"class": "frog", "recording": "9"}
    assert [clip.tags for clip in load("esc10", tmp_path)] == [("sea waves",)]
    (tmp_path / "audio" / "2-9-A-1.wav").unlink()
    with pytest.raises(CorpusError, match=r"1 of 2 files are missing, the first is audio/2-9-A-1"):
        load("esc50", tmp_path)


def test_emodb_merges_stops_and_voice_quality_lines(tmp_path: Path) -> None:
    for name in ("03a01Wa", "08b10Nb"):
        wav(tmp_path / "wav" / f"{name}.wav", 1.5)
    marks = "_t !t tasp a\t\t2 \t+lar E6 -sth b !b +x ( (gef +x u ."
    lines = [f"  {0.1 * k:.1f} -1 {m}" for k, m in enumerate(marks.split(" "))]
    text(tmp_path / "lablaut" / "03a01Waxx.lablaut", "signal ä\n#\n" + "\n".join(lines) + "\n")
    text(tmp_path / "lablaut" / "08b10Nbxx.lablaut", "")
    angry, neutral = load("emodb", tmp_path)
    assert angry.labels == {"speaker": "03", "text": "a01", "emotion": "anger"}
    phones = [(round(s.start_s, 3), round(s.end_s, 3), s.label) for s in angry.phones]
    assert phones == [
        (0.0, 0.3, "t"),
        (0.3, 0.5, "a"),
        (0.5, 0.7, "E6"),
        (0.7, 1.0, "b"),
        (1.3, 1.4, "u"),
    ]
    assert neutral.phones is None
    assert neutral.labels["emotion"] == "neutral"
    assert angry.splits == {"emotion": "fold:03", "phoneme": "fold:1", "speaker": "fold:1"}
    assert neutral.splits == {"emotion": "fold:08", "phoneme": "fold:1", "speaker": "fold:5"}


def test_fsdd(tmp_path: Path) -> None:
    for name in ("7_jackson_4", "7_jackson_5"):
        wav(tmp_path / "recordings" / f"{name}.wav")
    corpus = load("fsdd", tmp_path)
    assert corpus.clips[0].labels == {"digit": "7", "speaker": "jackson", "take": "4"}
    assert part_of(corpus, "speaker") == part_of(corpus, "digit") == ["test", "train"]


def test_ljspeech(tmp_path: Path) -> None:
    for k in range(1, 9):
        wav(tmp_path / "wavs" / f"LJ001-000{k}.wav")
        text(tmp_path / "TextGrid" / f"LJ001-000{k}.TextGrid", GRID)
    wav(tmp_path / "wavs" / "LJ002-0001.wav")
    corpus = load("ljspeech", tmp_path)
    assert part_of(corpus, "phoneme") == ["train"] * 6 + ["test"] * 2 + [None]
    assert [(s.start_s, s.label) for s in corpus.clips[0].phones] == [(0.2, "HH"), (0.5, "AH")]
    assert corpus.clips[8].phones is None
    assert corpus.clips[0].labels == {"chapter": "LJ001"}


def test_speechocean762(tmp_path: Path) -> None:
    phones = []
    for part, speaker in (("train", "0001"), ("test", "0002")):
        names = [f"{speaker}0{k}" for k in range(5)]
        for name in names:
            wav(tmp_path / "WAVE" / f"SPEAKER{speaker}" / f"{name}.WAV")
            phones += [f"{name}.{w}\t{p}" for w, p in ((0, "IH0_B T_E"), (1, "W_B"), (10, "AH0"))]
        table = "".join(f"{n}\tWAVE/SPEAKER{speaker}/{n}.WAV\n" for n in names)
        text(tmp_path / part / "wav.scp", table)
        text(tmp_path / part / "utt2spk", "".join(f"{n} {speaker}\n" for n in names))
        text(tmp_path / part / "spk2age", f"{speaker}\t9\n")
        text(tmp_path / part / "spk2gender", f"{speaker}\tf\n")
    text(tmp_path / "resource" / "text-phone", "\n".join(phones) + "\n")
    corpus = load("speechocean762", tmp_path)
    assert corpus.clips[0].phone_sequence == ("IH", "T", "W", "AH")
    assert corpus.clips[0].labels == {"speaker": "0001", "age": "9", "gender": "f"}
    assert part_of(corpus, "phoneme") == ["train"] * 5 + ["test"] * 5
    assert part_of(corpus, "speaker") == (["train"] * 3 + ["test"] * 2) * 2
    corpus.clips[0].path.unlink()
    with pytest.raises(CorpusError, match=r"missing, but listed in train/wav\.scp"):
        load("speechocean762", tmp_path)


def hear_task(folder: Path, parts: tuple[str, ...], **metadata: object) -> Path:
    known = {"task_name": "demo", "version": "1", "splits": parts} | metadata
    text(folder / "task_metadata.json", json.dumps(known))
    text(folder / "labelvocabulary.csv", 'idx,label\n0,dog\n1,"cat, big"\n')
    for k, part in enumerate(parts):
        text(folder / f"{part}.json", json.dumps({f"{part}.wav": [k % 2]}))
        for rate in ("16000", "48000"):
            wav(folder / rate / part / f"{part}.wav")
    return folder


def test_hear_folds_in_an_unpacked_archive(tmp_path: Path) -> None:
    folds = ("fold00", "fold01", "fold02")
    hear_task(tmp_path / "tasks" / "demo-1", folds, prediction_type="multiclass")
    corpus = load("hear", tmp_path)
    assert [clip.tags for clip in corpus] == [("dog",), ("cat, big",), ("dog",)]
    assert corpus.clips[1].labels == {"demo": "cat, big"}
    assert (
        part_of(corpus, "tagging") == part_of(corpus, "demo") == ["fold:00", "fold:01", "fold:02"]
    )
    assert "48000" in corpus.clips[0].path.parts
    assert corpus.revision == "demo-1"
    hear_task(tmp_path / "tasks" / "other-1", folds)
    with pytest.raises(CorpusError, match=r"several HEAR tasks \(demo-1, other-1\)"):
        load("hear", tmp_path)


def test_hear_events_become_the_clip_s_tags(tmp_path: Path) -> None:
    hear_task(tmp_path, ("train", "valid", "test"), prediction_type="multilabel")
    events = [{"label": label, "start": 0, "end": 10} for label in ("dog", "bird", "dog")]
    text(tmp_path / "train.json", json.dumps({"train.wav": events}))
    corpus = load("hear", tmp_path)
    assert {clip.id: clip.tags for clip in corpus}["train/train.wav"] == ("bird", "dog")
    assert part_of(corpus, "tagging") == ["test", "train", "valid"]
    assert corpus.clips[0].labels == {}


@pytest.mark.parametrize("root", ["LibriSpeech", "."])
def test_librispeech(root: str, tmp_path: Path) -> None:
    for subset, name in (("dev-clean", "84-1-0000"), ("test-clean", "61-2-0000")):
        speaker, chapter, _ = name.split("-")
        wav(tmp_path / root / subset / speaker / chapter / f"{name}.flac")
    text(tmp_path / "alignments" / "dev-clean" / "84" / "1" / "84-1-0000.TextGrid", GRID)
    corpus = load("librispeech", tmp_path)
    assert part_of(corpus, "phoneme") == ["valid", "test"]
    assert corpus.clips[0].labels == {"speaker": "84", "recording": "84-1", "subset": "dev-clean"}
    assert corpus.clips[0].phone_sequence == ("HH", "AH")
    assert corpus.clips[1].phones is None


def test_voxceleb1(tmp_path: Path) -> None:
    names = [f"id1000{s}/video{v}/00001.wav" for s in (1, 2) for v in (1, 2, 3)]
    for name in names:
        wav(tmp_path / "wav" / name)
    corpus = load("voxceleb1", tmp_path)
    assert corpus.clips[1].labels == {"speaker": "id10001", "recording": "video2"}
    assert part_of(corpus, "speaker") == [None] * 6
    listed = "".join(f"{k % 3 + 1} {name}\n" for k, name in enumerate(names))
    text(tmp_path / "iden_split.txt", listed)
    assert part_of(load("voxceleb1", tmp_path), "speaker") == ["train", "valid", "test"] * 2
    text(tmp_path / "iden_split.txt", "4 id10001/video1/00001.wav\n")
    with pytest.raises(CorpusError, match="expected 1, 2 or 3 and a path"):
        load("voxceleb1", tmp_path)


def test_voxceleb1_trials(tmp_path: Path) -> None:
    names = [f"id1000{s}/video{v}/00001.wav" for s in (1, 2, 3) for v in (1, 2)]
    for name in names:
        wav(tmp_path / "wav" / name)
    text(tmp_path / "veri_test.txt", f"1 {names[0]} {names[1]}\n0 {names[1]} {names[2]}\n")
    corpus = load("voxceleb1", tmp_path)
    assert [(t.same, t.first, t.second) for t in corpus.trials] == [
        (True, f"wav/{names[0]}", f"wav/{names[1]}"),
        (False, f"wav/{names[1]}", f"wav/{names[2]}"),
    ]
    assert part_of(corpus, "verification") == ["test"] * 4 + ["train"] * 2
    text(tmp_path / "veri_test2.txt", f"1 {names[0]} {names[1]}\n")  # the cleaned list goes first
    assert len(load("voxceleb1", tmp_path).trials) == 1


def test_crema_d(tmp_path: Path) -> None:
    wav(tmp_path / "AudioWAV" / "1001_DFA_ANG_XX.wav")
    assert load("crema-d", tmp_path).clips[0].labels == {
        "speaker": "1001",
        "text": "DFA",
        "emotion": "anger",
        "level": "XX",
    }


def test_ravdess_reads_speech_and_passes_over_songs(tmp_path: Path) -> None:
    wav(tmp_path / "Actor_02" / "03-01-08-02-01-01-02.wav")
    wav(tmp_path / "Actor_02" / "03-02-05-02-01-01-02.wav")
    (clip,) = load("ravdess", tmp_path)
    assert (clip.labels["emotion"], clip.labels["speaker"]) == ("surprise", "02")


def test_speech_commands(tmp_path: Path) -> None:
    folder = tmp_path / "speech_commands_v0.02"
    for word, name in (("yes", "aa_nohash_0"), ("no", "bb_nohash_0"), ("no", "cc_nohash_1")):
        wav(folder / word / f"{name}.wav")
    wav(folder / "_background_noise_" / "hum.wav")
    text(folder / "validation_list.txt", "no/bb_nohash_0.wav\n")
    text(folder / "testing_list.txt", "no/cc_nohash_1.wav\nno/not_here_nohash_0.wav\n")
    corpus = load("speech-commands", folder)
    assert part_of(corpus, "keyword") == ["valid", "test", "train"]
    assert corpus.clips[2].labels == {"keyword": "yes", "speaker": "aa"}


# The data itself: expected numbers are those that each set's own documentation states.


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("PROBE_BENCH_DATA")
    if not folder:
        pytest.skip("PROBE_BENCH_DATA is not set")
    return Path(folder)


def sizes(corpus: Corpus, task: str) -> list[tuple[int, int, int]]:
    known = corpus.with_label(tasks()[task].label) or corpus
    folds = plan_folds(known, tasks()[task], 0)
    check_leaks(known, tasks()[task], folds)
    return [(len(fold.train), len(fold.valid), len(fold.test)) for fold in folds]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "folder", "clips", "duration_s", "classes"),
    [
        ("esc10", "esc10", 400, 2003, {"class": 10}),
        ("emodb", "emodb_4class", 339, 953.7, {"speaker": 10, "emotion": 4, "text": 10}),
        ("speechocean762", "speechocean762_72spk", 360, 1020.8, {"speaker": 72, "gender": 2}),
        ("fsdd", "fsdd", 900, 390.9, {"speaker": 6, "digit": 10}),
        ("ljspeech", "ljspeech_mini", 32, 221.7, {"chapter": 1}),
    ],
)
def test_data_counts(
    data: Path, name: str, folder: str, clips: int, duration_s: float, classes: dict[str, int]
) -> None:
    corpus = load(name, data / folder)
    assert len(corpus) == clips
    assert corpus.duration_s == pytest.approx(duration_s, abs=0.6)
    assert {k: len({clip.labels[k] for clip in corpus}) for k in classes} == classes


@pytest.mark.data
def test_data_emodb_phones(data: Path) -> None:
    corpus = load("emodb", data / "emodb_4class")
    assert Counter(c.labels["emotion"] for c in corpus) == {
        "anger": 127,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    }
    aligned = corpus.with_label("phones")
    frames: Counter[str] = Counter()
    for clip in aligned:
        grid = np.arange(0, clip.duration_s, 0.02)
        for s in clip.phones:
            frames[s.label] += int(((grid >= s.start_s) & (grid < s.end_s)).sum())
    assert len(aligned) == 338
    assert frames.total() == 41870
    assert sum(n >= 60 for n in frames.values()) == 46
    assert len(sizes(corpus, "emotion")) == 10
    assert len(sizes(corpus, "phoneme")) == len(sizes(corpus, "speaker")) == 5


@pytest.mark.data
def test_data_split_sizes(data: Path) -> None:
    assert sizes(load("esc10", data / "esc10"), "tagging") == [(240, 80, 80)] * 5
    assert sizes(load("fsdd", data / "fsdd"), "speaker") == [(450, 150, 300)]
    ljspeech = load("ljspeech", data / "ljspeech_mini")
    assert sizes(ljspeech, "phoneme") == [(18, 6, 8)]
    labels = [s.label for clip in ljspeech for s in clip.phones]
    assert (len(labels), len(set(labels))) == (2260, 37)


@pytest.mark.data
def test_data_speechocean762(data: Path) -> None:
    corpus = load("speechocean762", data / "speechocean762_72spk")
    assert sizes(corpus, "speaker") == [(144, 72, 144)]
    assert sizes(corpus, "phoneme") == [(135, 45, 180)]
    assert len({phone for clip in corpus for phone in clip.phone_sequence}) == 39


@pytest.mark.data
def test_data_hear_archive(data: Path, tmp_path: Path) -> None:
    (archive,) = (data / "hear_small").glob("*spoken_digit*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    corpus = load("hear", tmp_path)
    assert len({clip.tags for clip in corpus}) == 10
    assert len(sizes(corpus, "tagging")) == 5
