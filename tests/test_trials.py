"""Official trials: every form of the file, and every way to get a line wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from probe_bench.corpora import load_corpus
from probe_bench.corpus import EVERY_TASK, Clip, Corpus, Trial
from probe_bench.errors import CorpusError
from probe_bench.trials import with_trials

NAMES = ("anna/1.wav", "anna/2.wav", "ben/1.wav", "cora/1.wav", "cora/2.wav")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    clips = tuple(
        Clip(
            id=f"c{k}",
            path=tmp_path / name,
            duration_s=1.0,
            labels={"speaker": name.partition("/")[0]},
        )
        for k, name in enumerate(NAMES)
    )
    return Corpus(name="mine", clips=clips, licence="CC0", revision="1")


def write(folder: Path, *lines: str, name: str = "trials.txt") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_clips_are_named_by_path_or_id(corpus: Corpus, tmp_path: Path) -> None:
    write(tmp_path, "1 anna/1.wav anna/2.wav", "", "0  c0\tben/1.wav")
    found = with_trials(corpus, tmp_path)
    assert found.trials == (
        Trial(same=True, first="c0", second="c1"),
        Trial(same=False, first="c0", second="c2"),
    )


@pytest.mark.parametrize("header", [(), ("same,first,second",)])
def test_csv_has_commas_and_may_have_a_header(
    corpus: Corpus, tmp_path: Path, header: tuple[str, ...]
) -> None:
    write(tmp_path, *header, '1, "anna/1.wav",anna/2.wav', name="trials.csv")
    assert with_trials(corpus, tmp_path).trials == (Trial(same=True, first="c0", second="c1"),)


def test_speakers_of_trials_are_tested_and_the_others_trained_on(
    corpus: Corpus, tmp_path: Path
) -> None:
    clips = list(corpus.clips)
    clips[3] = replace(clips[3], splits={EVERY_TASK: "valid"})
    clips[4] = replace(clips[4], splits={"verification": "valid"})
    write(tmp_path, "0 anna/1.wav ben/1.wav")
    found = with_trials(replace(corpus, clips=tuple(clips)), tmp_path)
    parts = [clip.splits.get("verification") for clip in found]
    assert parts == ["test", "test", "test", None, "valid"]
    write(tmp_path, "1 anna/1.wav anna/2.wav")
    parts = [clip.splits["verification"] for clip in with_trials(corpus, tmp_path)]
    assert parts == ["test", "test", "train", "train", "train"]


def test_a_folder_without_trials_has_none(corpus: Corpus, tmp_path: Path) -> None:
    assert with_trials(corpus, tmp_path) is corpus


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("1 c0 c1", "2 c0 c1"), r"trials.txt: line 2: '2 c0 c1'; expected 1 \(one speaker\) or 0"),
        (("1 c0",), "line 1: '1 c0'; expected"),
        (("1 c0 c1 c2",), "line 1: '1 c0 c1 c2'; expected"),
        (("same first second",), "line 1: 'same first second'; expected"),
        (
            ("", "0 c0 dora/1.wav"),
            "line 2: no clip 'dora/1.wav'; expected an id of the corpus or a",
        ),
        (("0 c0 anna/1.wav",), "line 1: 'c0' against itself; expected two clips"),
        (("", " "), "no trials; expected lines such as `1 a.wav b.wav`"),
    ],
)
def test_bad_lines_are_named(
    corpus: Corpus, tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    write(tmp_path, *lines)
    with pytest.raises(CorpusError, match=message) as raised:
        with_trials(corpus, tmp_path)
    assert "\n" not in str(raised.value)


def test_trials_beside_a_manifest_are_read(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    lines = (f"{name},{name.partition('/')[0]}" for name in NAMES)
    write(tmp_path, "path,speaker", *lines, name="manifest.csv")
    write(tmp_path, "0 anna/1.wav ben/1.wav")
    found = load_corpus(f"mine={tmp_path}", tmp_path)
    assert found.trials == (Trial(same=False, first="anna/1.wav", second="ben/1.wav"),)
    assert [c.splits["verification"] for c in found] == ["test", "test", "test", "train", "train"]
