"""The modulation stage of a run: emphasis, controls of known answer, and what folders lack."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from rich.console import Console
from torch import Tensor

from probe_bench import budget
from probe_bench.cli import main
from probe_bench.config import RunConfig
from probe_bench.lineup import line_up
from probe_bench.modulation.controls import CONTROLS
from probe_bench.rows import read_rows
from probe_bench.run import run


def command(*arguments: object) -> None:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    assert done.value.code == 0


@pytest.fixture(scope="module")
def recordings(
    tmp_path_factory: pytest.TempPathFactory, waveforms: tuple[list[Tensor], Tensor]
) -> Path:
    """Ten speakers, three clips of 4 s each."""
    root = tmp_path_factory.mktemp("recordings")
    lines = []
    for i, (clip, speaker) in enumerate(zip(*waveforms, strict=True)):
        soundfile.write(root / f"{i}.flac", (0.5 * clip[:64_000] / clip.abs().max()), 16_000)
        lines.append({"path": f"{i}.flac", "speaker": f"s{int(speaker)}"})
    pd.DataFrame(lines).to_csv(root / "manifest.csv", index=False)
    return root


def test_a_run_measures_emphasis_and_controls(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, cache = tmp_path / "exported", tmp_path / "out", tmp_path / "cache"
    where = ["--cache", cache]
    command(
        "embed", "--encoder", "lowpass:4", "--corpus", f"m={recordings}", "--out", folder, *where
    )
    encoders = ["--encoder", "lowpass:4", f"features:{folder}"]
    what = ["--task", "none", "--analysis", "modulation", "--corpus", f"m={recordings}"]
    command("run", *encoders, *what, "--out", out, *where)
    assert "emphasis of features:exported left out" in capsys.readouterr().out
    rows = read_rows(out / "results.csv")
    cutoffs = rows[rows["metric"] == "emphasis_hz"].set_index("encoder")
    assert set(cutoffs.index) == {*CONTROLS, "logmel:50", "lowpass:4"}
    for name, row in cutoffs.iterrows():
        kind, _, number = str(name).partition(":")
        truth = {"lowpass": float(number), "meanpool": 443 / float(number), "logmel": 25}[kind]
        assert row["value"] == pytest.approx(truth, rel=0.04)
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
        assert row["role"] == {"lowpass:4": "subject", "logmel:50": "logmel"}.get(name, "control")
        assert (row["n"], row["n_groups"], row["probe"]) == (10, 10, "ripples")
    mine = rows[rows["encoder"] == "lowpass:4"].set_index("metric")
    assert mine["value"]["emphasis_whitened_hz"] == pytest.approx(4, rel=0.04)
    assert mine["ci_low"]["emphasis_total_hz"] < 4 / 1.05
    assert mine["value"]["emphasis_excess"] > 3
    assert mine["setting"]["emphasis_gain"].iloc[0] == "mod_freq_hz=0.4"
    support = rows[rows["metric"] == "support_hz"].set_index("encoder")
    assert support["value"]["lowpass:8"] == pytest.approx(8, rel=0.04)
    null = support.loc["shuffled:lowpass:4"]
    assert (null["role"], null["setting"][:7]) == ("control", "reason=")
    stages = json.loads((out / "run.json").read_text())["seconds"]["stages"]
    assert sum(stage["stage"] == "emphasis" for stage in stages) == len(cutoffs)
    assert "how strongly layers respond" in (out / "report.html").read_text()


def test_without_controls_and_phones_there_are_none(recordings: Path, tmp_path: Path) -> None:
    config = RunConfig(
        encoder=("lowpass:4",),
        task=("none",),
        analysis=("modulation",),
        corpus=(f"m={recordings}",),
        baselines=False,
        controls=False,
        cache=tmp_path / "cache",
        out=tmp_path / "out",
    )
    folder = run(config, Console(quiet=True))
    rows = read_rows(folder / "results.csv")
    assert set(rows["encoder"]) == {"lowpass:4"}
    # Nobody has aligned the phones of these recordings: no rows of theirs, and a note that says so.
    assert "support_phones_hz" not in set(rows["metric"])
    assert "support_energy_hz" in set(rows["metric"])
    notes = json.loads((folder / "run.json").read_text())["notes"]
    assert "support of phones on m: no aligned phones" in notes


def test_a_control_that_takes_longer_clips_is_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = [*[32_000] * 8, 2_400]  # the last is shorter than the 2,800 samples of meanpool:160
    lines = ["path,speaker"]
    for k, n in enumerate(lengths):
        soundfile.write(tmp_path / f"{k}.wav", 0.1 * rng.standard_normal(n), 16_000)
        lines.append(f"{k}.wav,s{k % 4}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    config = RunConfig(
        encoder=("lowpass:4",),
        task=("none",),
        analysis=("modulation",),
        corpus=(f"m={tmp_path}",),
        baselines=False,
        cache=tmp_path / "cache",
        out=tmp_path / "out",
    )
    folder = run(config, Console(quiet=True))
    notes = json.loads((folder / "run.json").read_text())["notes"]
    assert "modulation on m: control meanpool:160 left out, clips too short" in notes
    controls = set(read_rows(folder / "results.csv")["encoder"])
    assert "meanpool:80" in controls
    assert "meanpool:160" not in controls


def test_rippling_is_part_of_the_expected_time(monkeypatch: pytest.MonkeyPatch) -> None:
    contestants = line_up(["logmel:25", "logmel:50"], seed=0, baselines=False, trust_code=False)
    monkeypatch.setattr(budget, "encoding_speed", lambda *_: 80.0)
    device = torch.device("cpu")
    assert budget.rippling_seconds(1, contestants, device) == pytest.approx(2 * 2 * 160 / 80)
    assert budget.rippling_seconds(0, contestants, device) == 0
