"""Folders with a manifest: every column, and every way to get one wrong."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from probe_bench.corpus import EVERY_TASK
from probe_bench.errors import CorpusError
from probe_bench.manifest import load_manifest


def write(path: Path, seconds: float = 1.0, rate_hz: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(
        path, np.random.default_rng(0).uniform(-0.5, 0.5, int(seconds * rate_hz)), rate_hz
    )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write(tmp_path / "audio" / f"{name}.wav")
    return tmp_path


def manifest(folder: Path, *lines: str) -> Path:
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_every_column(folder: Path) -> None:
    (folder / "b.csv").write_text("start,end,label\n0.1,0.2,x\n0.2,0.9,y\n")
    (folder / "LICENSE").write_text("\nCC0-1.0\nmore\n")
    manifest(
        folder,
        "id,path,speaker,emotion,tags,split,split_emotion,phones,weather",
        "two,audio/b.wav,anna,joy,dog; cat|dog,train,valid,b.csv,rain",
        "one,audio/a.wav,,,,fold:2,,,",
    )
    corpus = load_manifest("mine", folder)
    one, two = corpus.clips
    assert (corpus.name, corpus.licence) == ("mine", "CC0-1.0")
    assert two.labels == {"speaker": "anna", "emotion": "joy", "weather": "rain"}
    assert two.tags == ("cat", "dog")
    assert two.splits == {EVERY_TASK: "train", "emotion": "valid"}
    assert [(s.start_s, s.end_s, s.label) for s in two.phones] == [(0.1, 0.2, "x"), (0.2, 0.9, "y")]
    assert two.phone_sequence == ("x", "y")
    assert two.duration_s == 1.0
    assert (one.id, one.labels, one.tags, one.phones) == ("one", {}, (), None)
    assert one.splits == {EVERY_TASK: "fold:2"}


def test_ids_do_not_hold_absolute_paths(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = write(tmp_path_factory.mktemp("elsewhere") / "z.wav")
    corpus = load_manifest("mine", manifest(folder, "path", str(outside), "audio/a.wav"))
    assert [clip.id for clip in corpus] == ["audio/a.wav", "z.wav"]
    assert corpus.clips[1].path == outside


def test_phn_uses_the_rate_of_the_audio(folder: Path) -> None:
    (folder / "a.phn").write_text("0 4000 ah\n")
    corpus = load_manifest("mine", manifest(folder, "path,phones", "audio/a.wav,a.phn"))
    assert corpus.clips[0].phones[0].end_s == 0.5


def test_phone_sequence_without_times(folder: Path) -> None:
    corpus = load_manifest("mine", manifest(folder, "path,phone_sequence", "audio/a.wav,AH B  K"))
    assert corpus.clips[0].phone_sequence == ("AH", "B", "K")
    assert corpus.clips[0].phones is None


def test_revision_follows_the_manifest_and_not_the_order_of_rows(folder: Path) -> None:
    first = load_manifest("mine", manifest(folder, "path", "audio/a.wav", "audio/b.wav"))
    again = load_manifest("mine", manifest(folder, "path", "audio/b.wav", "audio/a.wav"))
    assert [c.id for c in first] == [c.id for c in again]
    assert first.revision != again.revision
    assert first.licence == "unknown"


def test_unreadable_audio_is_left_for_loading_to_report(folder: Path) -> None:
    (folder / "audio" / "a.wav").write_bytes(b"not audio")
    (folder / "a.phn").write_text("0 4000 ah\n")
    corpus = load_manifest("mine", manifest(folder, "path,phones", "audio/a.wav,a.phn"))
    assert corpus.clips[0].duration_s == 0
    assert corpus.clips[0].phones is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file", "audio/a.wav"], "columns file; expected a column path"),
        (["path"], "1 lines; expected a header and a row"),
        (["path,path", "a,b"], "'path' is empty or stands twice"),
        (["path,phones,phone_sequence", "audio/a.wav,,"], "expected only one of them"),
        (["path", "audio/a.wav", "audio/x.wav", "audio/y.wav"], r"2 of 3 files.*first is 'audio/x"),
        (["path", "audio/a.wav", "audio/a.wav"], "id 'audio/a.wav' stands twice"),
        (["id,path", "k,audio/a.wav", "k,audio/b.wav"], "id 'k' stands twice"),
        (["id,path", ",audio/a.wav"], "the row of audio/a.wav has an empty id"),
        (["path,speaker", "audio/a.wav"], "row 1 has 1 cells; expected 2"),
        (["path,split", "audio/a.wav,tset"], "split 'tset'.*expected train, valid, test or fold:K"),
        (["path", '"audio/a.wav'], "not a readable CSV"),
        (["path,phones", "audio/a.wav,none.TextGrid"], r"none\.TextGrid: not a readable alignment"),
    ],
)
def test_errors_say_what_was_found_and_expected(
    folder: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        load_manifest("mine", manifest(folder, *lines))
    assert "\n" not in str(caught.value)


def test_segments_outside_the_clip_are_refused(folder: Path) -> None:
    (folder / "a.csv").write_text("start,end,label\n0.5,1.5,x\n")
    with pytest.raises(CorpusError, match=r"a\.wav: segment 'x' at 0\.5-1\.5 s lies outside"):
        load_manifest("mine", manifest(folder, "path,phones", "audio/a.wav,a.csv"))


def test_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no manifest\.csv found"):
        load_manifest("mine", tmp_path)
