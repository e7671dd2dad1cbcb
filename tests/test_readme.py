"""What the README says a reader can type, typed."""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import tyro
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.check import check
from probe_bench.cli import Command
from probe_bench.corpus import Corpus
from probe_bench.encoder import Layer
from probe_bench.evaluate import evaluate
from probe_bench.jobs import divide

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def run_block(containing: str) -> dict[str, Any]:
    (code,) = (block for block in blocks("python") if containing in block)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    return names


def test_every_python_block_is_run_here() -> None:
    assert len(blocks("python")) == 3


@pytest.mark.parametrize(
    "line",
    [
        line.partition("#")[0].strip()
        for block in blocks("bash")
        for line in block.splitlines()
        if line.startswith("probe-bench")
    ],
)
def test_every_command_is_one_that_the_command_line_takes(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "probe-bench"
    tyro.cli(Command, args=arguments, config=(tyro.conf.OmitArgPrefixes,))


def test_features_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("speech.wav", 0.1 * np.random.default_rng(0).standard_normal(44100), 44100)
    run_block("encode_clips")
    assert len(capsys.readouterr().out.splitlines()) == 7


def test_the_encoder_keeps_its_contract() -> None:
    encoder = run_block("ENCODER")["ENCODER"].load("", None)
    broken = [
        f"{verdict.name}: {verdict.detail}" for verdict in check(encoder) if not verdict.passed
    ]
    assert not broken


class Pooled:
    """One vector a clip that tells the digit."""

    encoder = "pooled"
    layers = (Layer(name="in", dim=2, depth=0.0, frame_rate_hz=Fraction(50), first_frame_s=Fraction(0)),)  # fmt: skip

    def __init__(self, corpus: Corpus) -> None:
        self.digits = torch.tensor([float(clip.labels["digit"]) for clip in corpus])

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        return torch.nn.functional.one_hot(self.digits.long(), 4).float()

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        return torch.zeros(len(self.digits), dtype=torch.long)

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        raise AssertionError("a task on whole clips reads no frames")


def test_the_task_can_be_probed(make_corpus: Callable[..., Corpus]) -> None:
    task = run_block("TASK")["TASK"]
    noise = make_corpus([0.1] * 36)
    clips = tuple(
        replace(  # as fsdd has it: every speaker in both official parts
            clip,
            labels={"speaker": f"s{i // 12}", "digit": str(i % 3), "recording": clip.id},
            splits={"digit": "test" if i % 12 < 6 else "train"},
        )
        for i, clip in enumerate(noise)
    )
    corpus = replace(noise, clips=clips)
    job = divide(task, corpus, seed=0)
    found = evaluate(job.task, job.corpus, job.folds, Pooled(job.corpus), seed=0)
    assert [score.value for score in found.scores if score.layer == "best"] == [1.0]


def test_the_files_that_it_names_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
