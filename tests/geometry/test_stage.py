"""Who is compared with whom, and what a run makes of it."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from probe_bench.config import RunConfig
from probe_bench.corpus import Corpus
from probe_bench.encoder import Layer
from probe_bench.geometry.stage import encoder_pairs, families
from probe_bench.lineup import Contestant
from probe_bench.rows import Role, read_rows
from probe_bench.run import run


def contestant(name: str, role: Role, rate_hz: int) -> Contestant:
    layer = Layer(
        name="in", dim=4, depth=0.0, frame_rate_hz=Fraction(rate_hz), first_frame_s=Fraction(0)
    )
    return Contestant(name=name, role=role, layers=(layer,), fingerprint=name)


LINE_UP = [
    contestant("a", "subject", 100),
    contestant("b", "subject", 25),
    contestant("logmel:100", "logmel", 100),
    contestant("random:a", "random", 100),
    contestant("logmel:25", "logmel", 25),
    contestant("random:b", "random", 25),
    contestant("random:c", "random", 25),
]


def test_twins_stand_with_their_encoders_after_log_mel() -> None:
    names = [[member.name for member in family] for family in families(LINE_UP)]
    assert names == [
        ["logmel:100"], ["logmel:25"], ["a", "random:a"], ["b", "random:b"], ["random:c"],
    ]  # fmt: skip


def test_pairs() -> None:
    pairs = encoder_pairs(LINE_UP)
    assert len(pairs) == len(set(pairs))
    assert [pair for pair in pairs if pair[0] == pair[1]] == [(c.name, c.name) for c in LINE_UP]
    assert [pair for pair in pairs if pair[0] != pair[1]] == [
        ("a", "logmel:100"), ("b", "logmel:25"), ("random:a", "logmel:100"),
        ("random:b", "logmel:25"), ("random:c", "logmel:25"),
        ("a", "random:a"), ("a", "b"), ("b", "random:b"),
    ]  # fmt: skip


@pytest.fixture
def manifest(make_corpus: Callable[..., Corpus]) -> Path:
    """Twenty-four noise clips of a second with three speakers."""
    corpus = make_corpus([1.0] * 24)
    lines = [{"path": clip.path.name, "speaker": clip.labels["speaker"]} for clip in corpus]
    folder = corpus.clips[0].path.parent
    pd.DataFrame(lines).to_csv(folder / "manifest.csv", index=False)
    return folder


def test_a_run_writes_the_same_rows_again(manifest: Path, tmp_path: Path) -> None:
    config = RunConfig(
        encoder=("random:wavjepa",),
        task=("none",),
        analysis=("geometry",),
        corpus=(f"noise={manifest}",),
        cache=tmp_path / "cache",
        out=tmp_path / "one",
    )
    one = run(config, Console(quiet=True)) / "results.csv"
    two = run(replace(config, out=tmp_path / "two"), Console(quiet=True)) / "results.csv"
    assert one.read_bytes() == two.read_bytes()
    rows = read_rows(one)
    assert set(rows["task"]) == {"geometry"}
    assert {"effective_rank", "uniformity", "cka", "svcca"} <= set(rows["metric"])
    pairs = rows[(rows["metric"] == "cka") & (rows["encoder"] == "random:wavjepa")]
    assert "other=logmel:100;other_layer=in" in set(pairs["setting"])
    assert pairs["value"].between(-1, 1).all()
