"""Wrong input through the command line: one line, exit code 2, no traceback, cache intact."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from probe_bench.cli import main

RATE_HZ = 16000
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write a corpus folder of 12 speakers x 5 recordings, spoilt by `spoil(path, table)`."""

    def make(spoil: Callable[[Path, pd.DataFrame], None] = lambda *_: None) -> Path:
        root = tmp_path / "recordings"
        root.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        lines = []
        for speaker in range(12):
            for take in range(5):
                tone = np.sin(2 * np.pi * (100 + 40 * speaker) * np.arange(6400) / RATE_HZ)
                name = f"s{speaker:02d}-{take}.wav"
                noise = 0.3 * rng.standard_normal(6400)
                soundfile.write(root / name, 0.2 * tone + 0.1 * noise, RATE_HZ, subtype="FLOAT")
                lines.append({"path": name, "speaker": f"s{speaker:02d}"})
        table = pd.DataFrame(lines)
        spoil(root, table)
        table.to_csv(root / "manifest.csv", index=False)
        return root

    return make


@pytest.fixture
def refused(clean_cache: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused and return the line it says why."""

    def run(*arguments: object) -> str:
        before = {p: p.read_bytes() for p in clean_cache.rglob("*.safetensors")}
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        assert stopped.value.code == 2
        message = capsys.readouterr().err.strip()
        assert message.startswith("probe-bench: ")
        assert "\n" not in message
        assert "Traceback" not in message
        assert before == {p: p.read_bytes() for p in before}
        return message

    return run


def speaker_run(corpus: Path, out: Path, *more: object) -> list[object]:
    what = ["--task", "speaker", "--analysis", "none", "--encoder", "logmel:50"]
    what += ["--degrade", "none"]
    return ["run", *what, "--corpus", f"mine={corpus}", "--out", out, *more]


def overwrite(samples: np.ndarray, rate_hz: int = RATE_HZ) -> Callable[[Path, pd.DataFrame], None]:
    return lambda root, _: soundfile.write(root / "s03-2.wav", samples, rate_hz, subtype="FLOAT")


def write_text(root: Path, _: pd.DataFrame) -> None:
    (root / "s03-2.wav").write_text("not audio at all")


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (write_text, "not readable as audio"),
        (overwrite(np.zeros(0)), "0 samples"),
        (overwrite(np.array([0.1, np.nan] * 900)), "900 samples are NaN"),
        (overwrite(np.zeros(6400)), "silent or constant"),
        (overwrite(np.ones(6400)), "silent or constant"),
        (overwrite(np.array([0.1, -0.1] * 3200), 50), "sample rate 50 Hz"),
        (overwrite(np.array([0.1, -0.1] * 20)), "0.003 s; expected at least 0.0"),
    ],
    ids=["unreadable", "empty", "nan", "silent", "constant", "rate", "short"],
)
def test_unusable_audio_stops_the_run_and_can_be_left_out(
    spoil: Callable[[Path, pd.DataFrame], None],
    found: str,
    folder: Folder,
    refused: Callable[..., str],
    tmp_path: Path,
    clean_cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as done:
        main([str(a) for a in speaker_run(folder(), tmp_path / "good")])
    assert done.value.code == 0
    assert list(clean_cache.rglob("shard-*.safetensors"))
    corpus = folder(spoil)
    message = refused(*speaker_run(corpus, tmp_path / "out"))
    assert "s03-2.wav" in message
    assert found in message
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main([str(a) for a in speaker_run(corpus, tmp_path / "out", "--skip-bad")])
    assert done.value.code == 0
    said = capsys.readouterr().out
    assert "left out 1 of 60 clips" in said
    assert "s03-2" in said


def test_label_outside_the_clip(
    folder: Folder, refused: Callable[..., str], tmp_path: Path
) -> None:
    def spoil(root: Path, table: pd.DataFrame) -> None:
        (root / "p.csv").write_text("start,end,label\n0.0,0.2,a\n0.2,9.0,b\n")
        table["phones"] = "p.csv"

    message = refused(*speaker_run(folder(spoil), tmp_path / "out"))
    assert "outside the clip" in message
    assert "9" in message


def test_missing_file_in_manifest(
    folder: Folder, refused: Callable[..., str], tmp_path: Path
) -> None:
    def spoil(root: Path, _: pd.DataFrame) -> None:
        (root / "s03-2.wav").unlink()

    assert "s03-2.wav" in refused(*speaker_run(folder(spoil), tmp_path / "out"))


def test_leaking_split(folder: Folder, refused: Callable[..., str], tmp_path: Path) -> None:
    """Two parts that share a recording: the run stops and names it."""

    def spoil(_: Path, table: pd.DataFrame) -> None:
        table["split"] = (["train"] * 3 + ["valid", "test"]) * 12
        table["recording"] = [f"tape {i // 5}" for i in range(60)]

    assert "tape" in refused(*speaker_run(folder(spoil), tmp_path / "out"))


@pytest.mark.usefixtures("clean_cache")
def test_a_class_that_training_lacks_is_left_out_and_said(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(_: Path, table: pd.DataFrame) -> None:
        table["split"] = ["train"] * 30 + ["valid"] * 15 + ["test"] * 15
        table["emotion"] = [("calm", "glad")[i % 2] for i in range(59)] + ["unheard-of"]

    what = [
        "--task",
        "emotion",
        "--analysis",
        "none",
        "--degrade",
        "none",
        "--encoder",
        "logmel:50",
    ]
    with pytest.raises(SystemExit) as done:
        main(["run", *what, "--corpus", f"mine={folder(spoil)}", "--out", str(tmp_path / "out")])
    assert done.value.code == 0
    assert "unheard-of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--encoder", "wavjepaa"], "did you mean 'wavjepa'"),
        (["--encoder", "no/such.safetensors"], "no/such.safetensors"),
        (["--encoder", "random:logmel"], "logmel"),
        (["--task", "speakers"], "did you mean 'speaker'"),
        (["--task", "none", "--analysis", "none"], "nothing to do"),
        (["--analysis", "modulations"], "did you mean 'modulation'"),
        (["--diagnostic", "selectivty"], "did you mean 'selectivity'"),
        (["--corpus", "esc10"], "esc10=FOLDER"),
        (["--corpus", "mine=/no/such/folder"], "no such folder"),
        (["--corpus", "a/b=."], "NAME=FOLDER"),
        (["--corpus", "=."], "NAME=FOLDER"),
        (["--limit", "0"], "at least 1"),
        (["--seed", "-1"], "at least 0"),
        (["--train-frames", "-5"], "--train-frames -5"),
        (["--encoder", "wavjepa", "--encoder", "logmel"], "--encoder A B"),
    ],
)
def test_wrong_words(arguments: list[str], found: str, refused: Callable[..., str]) -> None:
    assert found in refused("run", *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu(folder: Folder, refused: Callable[..., str], tmp_path: Path) -> None:
    message = refused(*speaker_run(folder(), tmp_path / "out", "--device", "cuda"))
    assert "no CUDA device" in message


def bundled() -> Path:
    return Path(__file__).parents[1] / "encoders/wavjepa/tiny.safetensors"


def test_checkpoint_of_wrong_shape(refused: Callable[..., str], tmp_path: Path) -> None:
    with safe_open(bundled(), framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = next(n for n, tensor in tensors.items() if tensor.ndim == 2)
    tensors[name] = tensors[name][:-1].clone()
    save_file(tensors, tmp_path / "other.safetensors", metadata=metadata)
    message = refused("run", "--encoder", tmp_path / "other.safetensors")
    assert "other.safetensors" in message
    assert name.split(".")[-1] in message


def test_damaged_checkpoint(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(bundled().read_bytes()[:1000])
    assert "cut.safetensors" in refused("run", "--encoder", tmp_path / "cut.safetensors")


def test_output_folder_that_is_a_file(
    folder: Folder, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("in the way")
    assert "choose another --out" in refused(*speaker_run(folder(), tmp_path / "out"))


def test_features_that_do_not_fit(
    folder: Folder, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    arguments = speaker_run(folder(), tmp_path / "out")
    arguments[arguments.index("logmel:50")] = f"features:{tmp_path}/theirs"
    assert "layout that `embed` writes" in refused(*arguments)
