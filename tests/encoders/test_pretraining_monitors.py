"""Monitors, the alarm and the log: what tells progress from collapse."""

import csv
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from probe_bench.cli import main
from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining.blocks.transformer import sincos_positions
from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.monitors import (
    HEALTHY,
    Row,
    collapse_verdict,
    collapsed_since,
    effective_rank,
    feature_health,
    mean_cosine,
)
from probe_bench.encoders.pretraining.presets import presets
from probe_bench.encoders.pretraining.pretrain import TrainOptions, train
from probe_bench.encoders.pretraining.trainer import Trainer, build_model
from probe_bench.encoders.pretraining.training_log import TrainingLog
from probe_bench.errors import UserError

from .micro import SYSTEMS, collapsing, micro, wandering_tones


def _features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_effective_rank_of_known_spectra() -> None:
    rows = _features(4000, 8)
    assert effective_rank(rows) == pytest.approx(8, rel=0.01)
    assert effective_rank(rows[:, :2] @ _features(2, 8)) <= 2.01
    values = np.linalg.svd((rows - rows.mean(0)).numpy() * np.arange(1, 9), compute_uv=False)
    shares = values / values.sum()
    expected = math.exp(-(shares * np.log(shares)).sum())
    centred = (rows - rows.mean(0)) * torch.arange(1, 9)
    assert effective_rank(centred) == pytest.approx(expected, rel=1e-4)
    assert effective_rank(torch.ones(5, 3)) == 0
    assert effective_rank(rows + 100) == pytest.approx(effective_rank(rows), rel=1e-3)


def test_health_agrees_with_slow_loops() -> None:
    x = _features(4, 6, 20) * torch.linspace(0.1, 3, 20)
    health, a = feature_health(x), x.numpy().astype(np.float64)
    assert health.scale == pytest.approx(np.sqrt((a**2).mean()), rel=1e-5)
    assert health.std_batch == pytest.approx(
        np.mean([a[:, :, d].mean(1).std(ddof=1) for d in range(20)]), rel=1e-5
    )
    assert health.std_time == pytest.approx(
        np.mean([a[b, :, d].std(ddof=1) for b in range(4) for d in range(20)]), rel=1e-5
    )
    assert health.std_place == pytest.approx(
        np.mean([a[:, t, d].std(ddof=1) for t in range(6) for d in range(20)]), rel=1e-5
    )
    weakest = sorted(a[:, :, d].std(ddof=1) for d in range(20))[:2]
    assert health.std_lowest == pytest.approx(np.mean(weakest), rel=1e-5)
    assert health.dim == 20


def test_every_kind_of_collapse_is_named() -> None:
    features = _features(8, 50, 64)
    healthy, little = feature_health(features), 1e-4 * features
    flat = feature_health(torch.ones(8, 50, 64) + little)
    slow = feature_health(features.mean(1, keepdim=True).expand(-1, 50, -1) + little)
    thin = feature_health(features[..., :1].expand(-1, -1, 64) + little)
    assert collapse_verdict(healthy, healthy) == HEALTHY == "healthy"
    assert collapse_verdict(healthy, flat) == "stem"
    assert collapse_verdict(flat, healthy) == "constant"
    assert collapse_verdict(slow, healthy) == "over-time"
    assert collapse_verdict(thin, healthy) == "dimensional"


def test_positions_alone_are_no_features() -> None:
    """Every clip gets the same outputs, but positions make the tokens of a clip differ."""
    recipe = presets()["wavjepa"]["tiny"]
    table = sincos_positions(recipe.grid, 128)
    same = table.expand(8, -1, -1) + 1e-4 * _features(8, len(table), 128)
    assert feature_health(same).std_time > 0.1
    assert (
        collapse_verdict(feature_health(same), feature_health(_features(8, 50, 64))) == "constant"
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_untrained_encoder_is_healthy(system: str) -> None:
    recipe = micro(system, batch_size=4)
    batch = BatchMaker(recipe=recipe, source=wandering_tones(10), seed=0)(0)
    encoder = build_model(recipe, 0).encoder
    with torch.no_grad():
        tokens = encoder.frontend.project(encoder.frontend.features(batch.waveform))
        outputs = encoder.transformer(tokens + encoder.positions)[-1]
    assert collapse_verdict(feature_health(outputs), feature_health(tokens)) == "healthy"


def test_teacher_distance_is_the_cosine_of_matching_tokens() -> None:
    a, b = _features(2, 3, 4), _features(2, 3, 4, seed=1)
    rows = [
        (x / x.norm()) @ (y / y.norm())
        for x, y in zip(a.flatten(0, 1), b.flatten(0, 1), strict=True)
    ]
    assert mean_cosine(a, b) == pytest.approx(float(torch.stack(rows).mean()), rel=1e-5)
    assert mean_cosine(a, 3 * a) == pytest.approx(1)


def test_the_alarm_wants_several_bad_rows_at_once() -> None:
    good, bad = HEALTHY, "stem"
    assert collapsed_since([good, bad, bad, bad], 3) == "stem"
    assert collapsed_since([bad, bad, good], 3) is None
    assert collapsed_since([bad, good, bad, bad], 3) is None
    assert collapsed_since([bad, bad], 3) is None
    assert collapsed_since([], 1) is None
    assert collapsed_since(["stem", "constant", "constant"], 3) == "constant"


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_monitored_follows_the_recipe(system: str) -> None:
    recipe = micro(system)
    trainer = Trainer.start(recipe, seed=0, device="cpu")
    make = BatchMaker(recipe=recipe, source=wandering_tones(10), seed=0)
    plain, row = trainer.step(0, make(0)), trainer.step(1, make(1), monitored=True)
    assert {"step", "loss", "prediction", "penalty", "lr", "grad_norm"} <= set(plain) <= set(row)
    assert {"std_batch", "std_time", "std_lowest", "rank_encoder", "rank_stem", "verdict"} <= set(
        row
    )
    assert ("rank_teacher" in row) == ("teacher_cosine" in row) == (recipe.teacher is not None)
    assert ("rank_projected" in row) == (recipe.projector is not None)
    assert ("visible_fraction" in row) == (recipe.masks is not None)
    assert 1 <= float(row["rank_encoder"]) <= recipe.encoder.dim
    if recipe.masks is not None:
        batch = make(1)
        visible = batch.visible.float().mean().item()  # type: ignore[union-attr]
        assert row["visible_fraction"] == pytest.approx(visible)


@pytest.mark.parametrize("system", ["audio-jepa", "wavjepa", "density-jepa"])
@pytest.mark.parametrize("final_norm", [False, True])
def test_a_teacher_that_is_the_student_agrees_with_it(system: str, final_norm: bool) -> None:
    recipe = micro(system)
    still = dataclasses.replace(recipe.optimiser, lr=0.0, lr_start=0.0, lr_end=0.0)
    targets = dataclasses.replace(recipe.targets, final_norm=final_norm)
    recipe = dataclasses.replace(recipe, optimiser=still, targets=targets, precision="float32")
    trainer = Trainer.start(recipe, seed=0, device="cpu")
    with torch.no_grad():  # a norm that changes direction, in both
        for name, weight in trainer.model.named_parameters():
            if name.endswith("transformer.norm.weight") or name == "teacher.norm.weight":
                weight.copy_(torch.linspace(0.1, 2.0, len(weight)))
    make = BatchMaker(recipe=recipe, source=wandering_tones(10), seed=0)
    row = trainer.step(0, make(0), monitored=True)
    assert row["teacher_cosine"] == pytest.approx(1.0, abs=1e-4)


def test_monitoring_changes_nothing_that_is_learnt() -> None:
    weights = []
    for monitored in (False, True):
        trainer = Trainer.start(micro("a-jepa"), seed=0, device="cpu")
        make = BatchMaker(recipe=micro("a-jepa"), source=wandering_tones(10), seed=0)
        for step in range(3):
            trainer.step(step, make(step), monitored=monitored)
        weights.append(torch.cat([p.flatten() for p in trainer.model.parameters()]))
    assert torch.equal(*weights)


def _row(step: int, verdict: str = HEALTHY) -> Row:
    return {"step": step, "loss": 1 / step, "rank_encoder": 3.0, "verdict": verdict}


def test_the_log_goes_on_after_the_checkpoint_and_drops_rows_beyond_it(tmp_path: Path) -> None:
    log = TrainingLog.open(tmp_path, 0)
    for step in (1, 2, 3, 4):
        log.write(_row(step, "stem" if step == 2 else HEALTHY))
    log.close()
    again = TrainingLog.open(tmp_path, 3)
    assert again.verdicts == ["healthy", "stem", "healthy"]
    again.write(_row(4))
    again.close()
    table = pd.read_csv(tmp_path / "log.csv")
    assert list(table["step"]) == [1, 2, 3, 4]
    assert list(table["loss"]) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], rel=1e-5)
    assert (
        len({len(line.split(",")) for line in (tmp_path / "log.csv").read_text().splitlines()}) == 1
    )
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("loss")] == [1, 2, 3, 4]
    fresh = TrainingLog.open(tmp_path, 0)
    assert fresh.verdicts == []
    assert not (tmp_path / "log.csv").exists()


def test_a_collapse_is_told_once_and_training_goes_on(tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    options = TrainOptions(out=tmp_path, monitor_every=5)
    train(collapsing(steps=60), wandering_tones(), options, console=console)
    said = console.export_text()
    assert said.count("alarm") == 1
    assert "constant collapse" in said
    verdicts = [row["verdict"] for row in csv.DictReader((tmp_path / "log.csv").open())]
    assert len(verdicts) == 12
    assert verdicts[-1] == "constant"


def test_a_healthy_training_raises_no_alarm(tmp_path: Path) -> None:
    console = Console(record=True, width=200)
    options = TrainOptions(out=tmp_path, monitor_every=5, stop_on_collapse=True)
    train(micro("glas-jepa", steps=40), wandering_tones(), options, console=console)
    assert "alarm" not in console.export_text()


def test_a_collapse_can_stop_the_training_and_leaves_its_checkpoint(tmp_path: Path) -> None:
    options = TrainOptions(out=tmp_path, monitor_every=5, stop_on_collapse=True)
    with pytest.raises(UserError, match=r"stopped after step \d+: constant collapse") as stopped:
        train(collapsing(steps=500), wandering_tones(), options)
    assert "\n" not in str(stopped.value)
    steps = pd.read_csv(tmp_path / "log.csv")["step"]
    assert 15 <= steps.iloc[-1] < 100
    assert f"after step {steps.iloc[-1]}:" in str(stopped.value)
    assert (tmp_path / "checkpoint.safetensors").exists()
    with pytest.raises(UserError, match=rf"after step {steps.iloc[-1]}: constant collapse"):
        train(collapsing(steps=500), wandering_tones(), options)  # not one step further


@pytest.mark.usefixtures("clean_cache")
def test_the_command_stops_with_one_line_and_exit_code_2(
    make_corpus: Callable[..., Corpus],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corpus = make_corpus([2.5] * 4, name="mine")
    folder = corpus.clips[0].path.parent
    names = "\n".join(clip.path.name for clip in corpus)
    (folder / "manifest.csv").write_text(f"path\n{names}\n")
    recipe = tmp_path / "bad.toml"
    recipe.write_text(
        'base = "glas-jepa/tiny"\nsteps = 200\ncrop_samples = 8000\nbatch_size = 4\nprecision = "float32"\n'
        'stop_gradient = false\nregulariser = "none"\n'
        "[encoder]\ndim = 16\ndepth = 2\n[projector]\ndim = 8\n"
        "[optimiser]\nlr = 0.01\nlr_start = 0.01\nwarmup_fraction = 0.0\n"
    )
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main([
            "pretrain", str(recipe), "--corpus", f"mine={folder}", "--monitor-every", "5",
            "--stop-on-collapse", "--device", "cpu", "--out", str(out),
        ])  # fmt: skip
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("probe-bench: ")
    assert "constant collapse" in line
    assert "Traceback" not in line
    assert (out / "log.csv").exists()


def test_a_diverged_training_is_one_line(tmp_path: Path) -> None:
    recipe = micro("ijepa")
    optimiser = dataclasses.replace(recipe.optimiser, lr=1e30, lr_start=1e30, clip_norm=None)
    diverging = dataclasses.replace(recipe, steps=20, optimiser=optimiser)
    source = wandering_tones()
    with pytest.raises(UserError, match=r"step \d+: loss .* diverged: lower the learning rate"):
        train(diverging, source, TrainOptions(out=tmp_path))
