"""References on the command line become encoders, or one line that says why not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from probe_bench import registry
from probe_bench.encoder import EncoderSpec
from probe_bench.encoders.logmel.model import LogMel, build
from probe_bench.errors import CheckpointError, UserError
from probe_bench.resolve import resolve


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Register `toy` beside log-mel and note what it is loaded with."""
    calls: list[tuple[Any, ...]] = []

    def load(argument: str, random_seed: int | None) -> LogMel:
        calls.append((argument, random_seed))
        return build("", None)

    def trusted(argument: str, random_seed: int | None) -> LogMel:
        calls.append(("trusted", argument, random_seed))
        return build("", None)

    toy = EncoderSpec(
        name="toy", summary="", source="", argument="FILE", load=load, load_trusted=trusted
    )
    bare = EncoderSpec(name="bare", summary="", source="", load=load)
    known = {"toy": toy, "bare": bare, "logmel": registry.encoders()["logmel"]}
    monkeypatch.setattr(registry, "encoders", lambda: known)
    return calls


def checkpoint(path: Path, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": np.zeros(1, np.float32)}, path, metadata)
    return path


@pytest.mark.parametrize(
    ("reference", "call"),
    [
        ("toy", ("", None)),
        ("random:toy", ("", 7)),
        ("toy:a/b:c", ("a/b:c", None)),
        ("random:toy:x", ("x", 7)),
        ("bare", ("", None)),
    ],
)
def test_names_are_kept_and_taken_apart(
    reference: str, call: tuple[Any, ...], loaded: list[Any]
) -> None:
    assert resolve(reference, seed=7).name == reference
    assert loaded == [call]


def test_trusted_code_is_asked_for_only_when_said(loaded: list[Any]) -> None:
    resolve("toy:x")
    resolve("toy:x", trust_code=True)
    resolve("bare", trust_code=True)
    assert loaded == [("x", None), ("trusted", "x", None), ("", None)]


def test_a_checkpoint_names_its_system(loaded: list[Any], tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "mine" / "checkpoint.safetensors", system="toy")
    assert resolve(str(file)).name == "mine"
    assert resolve(str(file.parent)).name == "mine"
    assert resolve(f"random:{file.parent}", seed=3).name == "random:mine"
    assert loaded == [(str(file), None), (str(file), None), (str(file), 3)]


def test_a_name_comes_before_a_folder_of_that_name(
    loaded: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(tmp_path / "toy" / "checkpoint.safetensors", system="bare")
    monkeypatch.chdir(tmp_path)
    resolve("toy")
    resolve("./toy")
    assert loaded == [("", None), ("toy/checkpoint.safetensors", None)]


@pytest.mark.usefixtures("loaded")
def test_what_cannot_be_resolved_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.safetensors").write_bytes(b"not a checkpoint")
    checkpoint(tmp_path / "foreign.safetensors")
    checkpoint(tmp_path / "newer.safetensors", system="hyper-jepa")
    cases = {
        "logmle": (UserError, "unknown encoder 'logmle'; did you mean 'logmel'"),
        "bare:x": (UserError, "bare takes nothing after a colon"),
        "random:logmel": (UserError, "no weights"),
        "": (UserError, "unknown encoder ''; known: bare, logmel, toy"),
        f"{tmp_path}/none": (CheckpointError, "no such file or folder"),
        "none.safetensors": (CheckpointError, "no such file or folder"),
        f"{tmp_path}/empty": (CheckpointError, "a folder without checkpoint.safetensors"),
        f"{tmp_path}/damaged.safetensors": (CheckpointError, "not readable as safetensors"),
        f"{tmp_path}/foreign.safetensors": (CheckpointError, "its metadata names no system"),
        f"{tmp_path}/newer.safetensors": (CheckpointError, "the unknown system 'hyper-jepa'"),
    }
    for reference, (kind, message) in cases.items():
        with pytest.raises(kind) as caught:
            resolve(reference)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
