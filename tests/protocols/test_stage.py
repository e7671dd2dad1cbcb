"""Protocols through `run`: rows, predictions, tests, notes, the record and the published table."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from probe_bench.config import RunConfig
from probe_bench.errors import UserError
from probe_bench.protocols import clips, pairs
from probe_bench.rows import read_beside, read_comparisons, read_rows
from probe_bench.run import run

RATE_HZ = 16000


def nothing_but(tmp_path: Path, **asked: Any) -> RunConfig:
    """Configure a run that measures what is asked for alone."""
    return RunConfig(
        baselines=False,
        analysis=("none",),
        diagnostic=("none",),
        degrade=("none",),
        cache=tmp_path / "cache",
        out=tmp_path / "out",
        **asked,
    )


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten speakers say two emotions, tones of 300 and 900 Hz, in a session of two speakers each."""
    folder = tmp_path_factory.mktemp("iemocap")
    rng, rows = np.random.default_rng(0), []
    time_s = np.arange(RATE_HZ) / RATE_HZ
    for i in range(60):
        hz = (300, 900)[i % 2]
        sound = 0.1 * np.sin(2 * np.pi * hz * time_s) + 0.05 * rng.standard_normal(RATE_HZ)
        soundfile.write(folder / f"{i:02}.wav", sound, RATE_HZ)
        rows.append(f"{i:02}.wav,{hz},s{i // 6},fold:{i // 12}")
    (folder / "manifest.csv").write_text("\n".join(["path,emotion,speaker,split", *rows]) + "\n")
    return folder


def test_a_run_by_protocols(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = clips.train

    def train(candidates: Any, problem: Any, regime: Any, device: Any) -> Any:
        return whole(candidates[1:3], problem, replace(regime, longest=40, check_every=20), device)

    monkeypatch.setattr(clips, "train", train)
    config = nothing_but(
        tmp_path,
        encoder=("audio-jepa",),
        task=("emotion",),
        protocol=("superb",),
        corpus=(f"iemocap={tones}",),
    )
    out = run(config, Console(quiet=True))
    rows = read_rows(out / "results.csv")
    ours = rows[rows["probe"].str.startswith("superb")]
    scores = ours[ours["metric"] == "accuracy"]
    assert set(scores["probe"]) == {"superb", "superb-honest"}
    assert set(scores["layer"]) == {"best"}
    assert (scores["value"] > 0.9).all()
    assert (scores["ci_low"] <= scores["value"]).all()
    assert set(ours["metric"]) == {"accuracy", "layer_weight"}
    assert (out / "predictions" / "emotion.iemocap.audio-jepa.superb.csv.gz").is_file()
    chance = rows[(rows["role"] == "chance") & (rows["metric"] == "accuracy")]
    assert chance["value"].tolist() == [0.5]
    tests = read_comparisons(out / "comparisons.csv")
    assert set(tests.loc[tests["question"] == "chance", "probe"]) >= {"superb", "superb-honest"}
    table = read_beside(out / "published.csv")
    assert set(table["task"]) == {"emotion"}
    assert "HuBERT Base" in set(table["published_encoder"])
    assert set(table["encoder"]) == {""}
    record = json.loads((out / "run.json").read_text())
    (protocol,) = record["protocols"]
    assert "random fifth" in protocol["faults"]["superb"]


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine speakers, each a pitch of their own, speak eight times."""
    folder = tmp_path_factory.mktemp("voxceleb1")
    rng, rows = np.random.default_rng(0), []
    for i in range(72):
        time_s = np.arange(int((0.6 + 0.05 * (i % 8)) * RATE_HZ)) / RATE_HZ
        sound = 0.1 * np.sin(2 * np.pi * 150 * 1.3 ** (i // 8) * time_s)
        sound += 0.01 * rng.standard_normal(len(time_s))
        soundfile.write(folder / f"{i:02}.wav", sound, RATE_HZ)
        rows.append(f"{i:02}.wav,s{i // 8},{('train', 'valid', 'test')[i // 8 % 3]}")
    (folder / "manifest.csv").write_text("\n".join(["path,speaker,split", *rows]) + "\n")
    return folder


def test_a_run_that_verifies(voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pairs.train

    def train(candidates: Any, problem: Any, regime: Any, device: Any) -> Any:
        return whole(candidates, problem, replace(regime, longest=4, check_every=2), device)

    monkeypatch.setattr(pairs, "train", train)
    said = Console(record=True, width=500)
    config = nothing_but(
        tmp_path,
        encoder=("logmel:50",),
        task=("verification",),
        probe=("cosine",),
        protocol=("superb", "hear"),
        corpus=(f"voxceleb1={voices}",),
    )
    out = run(config, said)
    rows = read_rows(out / "results.csv")
    best = rows[(rows["layer"] == "best") & (rows["role"] != "chance")].set_index(
        ["probe", "metric"]
    )
    assert set(best.index) == {(p, m) for p in ("cosine", "superb") for m in ("eer", "mindcf")}
    ours, cosine = best.loc[("superb", "eer")], best.loc[("cosine", "eer")]
    assert ours["unit"] == "trial"
    assert ours["ci_low"] <= ours["value"] <= ours["ci_high"]
    assert ours["setting"].startswith("layer=sum;lr=0.0001;epoch=")
    assert (ours["n"], ours["n_groups"]) == (cosine["n"], cosine["n_groups"]), "the same trials"
    assert ours["value"] < 0.25
    ours, cosine = (
        pd.read_csv(out / "predictions" / f"verification.voxceleb1.logmel_50.{probe}.csv.gz")
        for probe in ("superb", "cosine")
    )
    assert set(zip(ours["clip"], ours["other_clip"], strict=True)) == set(
        zip(cosine["clip"], cosine["other_clip"], strict=True)
    )
    table = read_beside(out / "published.csv")
    assert (
        dict(zip(table["published_encoder"], table["published"], strict=True))["HuBERT Base"]
        == 0.0511
    )
    text = said.export_text()
    assert "verification on voxceleb1: protocol hear: it has no head" in text
    assert "verification on voxceleb1: protocol superb" not in text


def test_known_speakers_are_classes_though_the_task_scores_pairs_too(
    voices: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(voices / "manifest.csv").drop(columns="split")
    corpus = tmp_path / "closed"
    corpus.mkdir()
    table.assign(path=[str(voices / name) for name in table["path"]]).to_csv(
        corpus / "manifest.csv", index=False
    )
    config = nothing_but(
        tmp_path,
        encoder=("logmel:50",),
        task=("speaker",),
        protocol=("evar",),
        corpus=(f"closed={corpus}",),
    )
    out = run(config, Console(quiet=True))
    rows = read_rows(out / "results.csv")
    ours = rows[rows["probe"].str.startswith("evar") & (rows["layer"] == "best")]
    assert set(zip(ours["metric"], ours["unit"], strict=True)) == {("accuracy", "clip")}
    assert (ours["value"] > 0.5).all()
    notes = json.loads((out / "run.json").read_text())["notes"]
    assert not [note for note in notes if "evar" in note and "pairs" in note]


def test_an_unknown_protocol_is_named(tmp_path: Path) -> None:
    config = RunConfig(protocol=("super",), cache=tmp_path, out=tmp_path / "out")
    with pytest.raises(UserError, match="unknown protocol 'super'; did you mean 'superb'"):
        run(config, Console(quiet=True))
