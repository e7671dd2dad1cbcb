"""Evaluation audio is found in folders, manifests, shards and the audio of a checkpoint."""

import json
import tarfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from probe_bench.cli import main
from probe_bench.leaks import against
from probe_bench.leaks.against import compare
from probe_bench.leaks.recordings import Heard, Recording, listen

RATE_HZ = 16000
Takes = dict[tuple[int, int], np.ndarray]
Changes = Mapping[str, Callable[[np.ndarray], tuple[np.ndarray, int]]]
Ask = Callable[..., tuple[int, str, pd.DataFrame]]


@pytest.fixture
def evaluation(write: Callable[..., Path], takes: Takes) -> str:
    """A corpus of six clips of three speakers."""
    for k in range(6):
        write(f"eval/{k}.wav", takes[k, 0])
    folder = write("eval/0.wav", takes[0, 0]).parent
    rows = [f"{k}.wav,s{k % 3}" for k in range(6)]
    (folder / "manifest.csv").write_text("\n".join(["path,speaker", *rows]) + "\n")
    return f"mine={folder}"


@pytest.fixture
def ask(
    tmp_path: Path, clean_cache: Path, capsys: pytest.CaptureFixture[str], evaluation: str
) -> Ask:
    """Compare with some audio; return the exit code, what was said, and the table."""
    assert not clean_cache.exists()

    def run(*words: object) -> tuple[int, str, pd.DataFrame]:
        with pytest.raises(SystemExit) as done:
            main(
                ["leaks", evaluation, "--out", str(tmp_path / "out"), "--against", *map(str, words)]
            )
        table = tmp_path / "out" / "leaks.csv"
        said = "".join(capsys.readouterr())
        return int(done.value.code or 0), said, pd.read_csv(table) if table.exists() else None

    return run


@pytest.fixture
def leaky(write: Callable[..., Path], takes: Takes, changes: Changes) -> Path:
    """New takes, and a long recording that holds clip 2 at 130 s, through a codec."""
    rng = np.random.default_rng(0)
    long = 0.01 * rng.standard_normal(150 * RATE_HZ).astype(np.float32)
    long[130 * RATE_HZ : 133 * RATE_HZ] += changes["vorbis"](takes[2, 0])[0][: 3 * RATE_HZ]
    for k in range(6):
        write(f"pre/{k}.flac", takes[k, 1])
    return write("pre/long.flac", long).parent


def test_nothing_shared_is_exit_code_0(ask: Ask, write: Callable[..., Path], takes: Takes) -> None:
    code, said, table = ask(write("clean/0.wav", takes[0, 2]).parent)
    assert code == 0
    assert "mine: no audio shared" in said
    assert table.empty


def test_a_clip_is_found_within_a_long_recording_of_a_folder(ask: Ask, leaky: Path) -> None:
    code, said, table = ask(leaky)
    assert code == 1
    assert "1 of 6 clips are in the pretraining audio" in said
    (row,) = table.to_dict("records")
    assert (row["kind"], row["clip"], row["other_part"]) == ("near", "2.wav", "pretraining")
    assert row["other_clip"].endswith("long.flac")
    assert row["offset_s"] == pytest.approx(130.0, abs=0.05)
    assert row["overlap_s"] == pytest.approx(3.0, abs=0.3)


def test_a_clip_is_found_in_a_tar(ask: Ask, leaky: Path, tmp_path: Path) -> None:
    shard = tmp_path / "shard-000.tar"
    with tarfile.open(shard, "w") as tar:
        for path in sorted(leaky.iterdir()):
            tar.add(path, arcname=path.name)
    code, _, table = ask(shard)
    assert code == 1
    assert table["other_clip"].tolist() == [f"{shard}/long.flac"]


def test_names_of_speakers_are_listed_without_changing_the_exit_code(
    ask: Ask, write: Callable[..., Path], takes: Takes
) -> None:
    folder = write("labelled/0.wav", takes[0, 2]).parent
    (folder / "manifest.csv").write_text("path,speaker\n0.wav,s1\n")
    code, said, table = ask(folder)
    assert code == 0
    assert table["kind"].tolist() == ["speaker"]
    assert "1 of 3 speaker names are also there: s1" in said


def test_a_record_of_pretraining_stands_for_its_audio(
    ask: Ask, leaky: Path, tmp_path: Path
) -> None:
    record = tmp_path / "trained" / "pretrain.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"corpora": ["pre"]}))
    code, said, _ = ask(record.parent)
    assert code == 2
    assert "was trained on 'pre', and its record does not say where" in said
    code, _, table = ask(record.parent, leaky)
    assert code == 1
    assert len(table) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none", None, "not found"),
        ("pretrain.json", "{}", "no list of corpora"),
        ("x.safetensors", "x", "damaged or not safetensors"),
        ("x.wav", "x", r"x\.wav: not readable as audio.*--skip-bad"),
    ],
)
def test_bad_input_is_one_line(
    name: str, content: str | None, message: str, ask: Ask, tmp_path: Path
) -> None:
    path = tmp_path / "bad" / name
    path.parent.mkdir()
    if content is not None:
        path.write_text(content)
    code, said, table = ask(path)
    assert code == 2
    lines = [line for line in said.splitlines() if line.startswith("probe-bench: ")]
    assert len(lines) == 1
    assert pd.Series(lines).str.contains(message).all()
    assert "Traceback" not in said
    assert table is None


def test_unreadable_recordings_are_left_out_when_asked(ask: Ask, leaky: Path) -> None:
    (leaky / "broken.wav").write_bytes(b"nothing")
    code, said, table = ask(leaky, "--skip-bad")
    assert code == 1
    assert "1 unusable" in said
    assert len(table) == 1


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("index_pretraining", [False, True])
def test_which_side_is_indexed_and_how_many_threads_changes_nothing(
    index_pretraining: bool,
    threads: int,
    write: Callable[..., Path],
    takes: Takes,
    changes: Changes,
) -> None:
    def side(name: str, sounds: list[np.ndarray]) -> list[Recording]:
        paths = [write(f"{name}/{k}.wav", samples) for k, samples in enumerate(sounds)]
        return [Recording(name=f"{name}/{k}", path=path) for k, path in enumerate(paths)]

    mine = side("one", [takes[k, 0] for k in range(4)])
    theirs = side("other", [takes[3, 0], changes["trimmed"](takes[1, 0])[0], takes[0, 1]])
    found = compare(
        mine, theirs, corpus="mine", index_pretraining=index_pretraining, threads=threads
    ).leaks
    assert [(leak.kind, leak.clip, leak.other_clip) for leak in found] == [
        ("near", "one/1", "other/1"),
        ("exact", "one/3", "other/0"),
    ]
    assert found[0].offset_s == pytest.approx(-3001 / RATE_HZ, abs=0.03)
    assert found[0].similarity == pytest.approx(0.9, abs=0.1)


def test_a_long_stream_is_never_held(
    write: Callable[..., Path], takes: Takes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("one.wav", takes[0, 0][: 2 * RATE_HZ])
    pulled, ahead, alive = 0, 0, 0
    made: list[weakref.ref[np.ndarray]] = []

    def stream() -> Iterator[Recording]:
        nonlocal pulled
        for pulled in range(1, 101):
            yield Recording(name=str(pulled), path=path)

    def watched(*arguments: object, **options: object) -> Iterator[Heard]:
        nonlocal ahead, alive
        for given, heard in enumerate(listen(*arguments, **options)):
            ahead = max(ahead, pulled - given)
            made.append(weakref.ref(heard.pieces[0].print.words))
            alive = max(alive, sum(each() is not None for each in made))
            yield heard

    monkeypatch.setattr(against, "listen", watched)
    assert compare([], stream(), corpus="mine").pretraining.recordings == 100
    assert len(made) == 100
    assert ahead <= 16
    assert alive <= 20


def test_what_follows_a_long_recording_is_fingerprinted_in_pieces(
    write: Callable[..., Path],
) -> None:
    rng = np.random.default_rng(0)
    path = write("long.wav", 0.1 * rng.standard_normal(250 * 8000), 8000)
    (heard,) = listen([Recording(name="long", path=path)])
    assert [piece.start_s for piece in heard.pieces] == [0.0, 110.0, 220.0]
    assert all(piece.print.duration_s <= 120 for piece in heard.pieces)
    assert soundfile.info(path).duration == 250
    assert heard.pieces[-1].start_s + heard.pieces[-1].print.duration_s == 250
