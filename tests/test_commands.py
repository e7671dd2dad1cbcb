"""The commands around `run`, through the command line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probe_bench.cache import Cache
from probe_bench.cli import main
from probe_bench.corpus import Corpus

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(
    clean_cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Say:
    """Run a command and return its exit code and what it said."""
    assert not clean_cache.exists()
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(done.value.code or 0), said.out + said.err

    return run


@pytest.fixture
def mine(make_corpus: Callable[..., Corpus]) -> str:
    """A folder of twelve clips of three speakers."""
    corpus = make_corpus([0.5] * 12)
    lines = [f"{clip.path.name},{clip.labels['speaker']}" for clip in corpus]
    folder = corpus.clips[0].path.parent
    (folder / "manifest.csv").write_text("\n".join(["path,speaker", *lines]) + "\n")
    return f"mine={folder}"


@pytest.mark.parametrize("verbose", [[], ["-v"]])
@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("encoders", ("wavjepa", "audio-jepa", "hf:", "torchaudio:", "logmel")),
        ("tasks", ("speaker", "phoneme", "emotion", "tagging")),
        ("corpora", ("speech", "scenes", "esc10=FOLDER", "voxceleb1=FOLDER", "NAME=FOLDER")),
    ],
)
def test_list(what: str, names: tuple[str, ...], verbose: list[str], say: Say) -> None:
    code, said = say("list", what, *verbose)
    assert code == 0
    assert all(name in said for name in names)


@pytest.mark.parametrize("pool", ["none", "mean", "meanstd"])
def test_embed_writes_rows_that_the_index_names(
    pool: str, mine: str, say: Say, tmp_path: Path
) -> None:
    out = tmp_path / "features"
    code, said = say(
        "embed", "--encoder", "logmel:25", "--corpus", mine, "--pool", pool, "--out", out
    )
    assert (code, str(out) in said) == (0, True)
    index, frames = pd.read_csv(out / "index.csv"), np.load(out / "in.npy")
    assert frames.dtype == np.float32
    assert len(index) == 12
    assert index["stop"].max() == len(frames)
    assert set(index["speaker"]) == {"s0", "s1", "s2"}
    assert frames.shape[1] == (128 if pool == "meanstd" else 64)


def test_check_gives_a_verdict_a_line(say: Say) -> None:
    code, said = say("check", "encoder", "logmel:50")
    assert code == 0
    lines = (
        "sample rate",
        "layers",
        "timing",
        "determinism",
        "batch invariance",
        "padding invariance",
    )
    assert all(f"{line} " in said for line in lines)
    assert "BROKEN" not in said


def test_cache_lists_drops_damaged_shards_and_prunes(
    mine: str, say: Say, clean_cache: Path, tmp_path: Path
) -> None:
    embed = ("embed", "--encoder", "logmel:25", "--corpus", mine, "--out", tmp_path / "features")
    say(*embed)
    assert "logmel:25" in say("cache", "ls")[1]
    (entry,) = Cache(clean_cache).entries()
    content = bytearray(entry.shard_path(0).read_bytes())
    content[-1] ^= 1
    entry.shard_path(0).write_bytes(content)
    first = (tmp_path / "features" / "in.npy").read_bytes()
    assert "1 damaged" in say("cache", "verify")[1]
    assert entry.missing() == [0]
    say(*embed)
    assert (tmp_path / "features" / "in.npy").read_bytes() == first
    say("cache", "prune")
    assert list(Cache(clean_cache).entries())
    assert "freed" in say("cache", "prune", "--all")[1]
    assert not list(Cache(clean_cache).entries())


def test_report_of_two_runs_side_by_side(mine: str, say: Say, tmp_path: Path) -> None:
    for encoder in ("logmel:25", "logmel:50"):
        what = ("--task", "speaker", "--analysis", "none", "--encoder", encoder)
        what += ("--degrade", "none")
        code, said = say("run", *what, "--corpus", mine, "--out", tmp_path / encoder)
        assert code == 0, said
    code, said = say(
        "report", tmp_path / "logmel:25", tmp_path / "logmel:50", "--out", tmp_path / "both"
    )
    assert code == 0, said
    page = (tmp_path / "both" / "report.html").read_text()
    assert "logmel:25" in page
    assert "logmel:50" in page


def test_pretrain_goes_on_and_its_folder_can_be_probed(mine: str, say: Say, tmp_path: Path) -> None:
    train = ("pretrain", "audio-jepa", "--corpus", mine, "--steps", 2, "--out", tmp_path / "jepa")
    code, said = say(*train)
    assert code == 0, said
    once = (tmp_path / "jepa" / "checkpoint.safetensors").read_bytes()
    code, said = say(*train)
    assert (code, "all 2 steps are done" in said) == (0, True)
    assert (tmp_path / "jepa" / "checkpoint.safetensors").read_bytes() == once
    code, said = say("check", "encoder", tmp_path / "jepa")
    assert code == 0, said
