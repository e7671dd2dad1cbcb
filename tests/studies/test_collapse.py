"""The collapse study: its switches, its alarms, the linear theory, and the whole command."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.optimize import brentq

from probe_bench.cli import main
from probe_bench.encoders.pretraining.recipe import to_json
from probe_bench.errors import UserError
from probe_bench.reports.collapse import draw_collapse, draw_matrix
from probe_bench.reports.collapse_data import arm_findings, read_study
from probe_bench.studies import linear
from probe_bench.studies.alarms import THRESHOLDS, alarms_of, first_run
from probe_bench.studies.arms import ARMS, SCALES, Switches, recipe_of
from probe_bench.studies.linear import LinearArm, simulate

PARTS = {
    "teacher": "teacher",
    "stop_gradient": "stop_gradient",
    "hiding": "hiding",
    "predictor": "predictor",
    "sigreg": "regulariser",
    "targets": "targets",
    "lr": "optimiser",
    "warmup": "optimiser",
}


# Arms


def test_every_arm_differs_from_its_parent_by_one_switch_and_one_part_of_the_recipe() -> None:
    by_name = {arm.name: arm for arm in ARMS}
    assert [arm.name for arm in ARMS if not arm.parent] == ["base"]
    for arm in ARMS[1:]:
        parent = by_name[arm.parent]
        changed = [
            field.name
            for field in dataclasses.fields(Switches)
            if getattr(arm.switches, field.name) != getattr(parent.switches, field.name)
        ]
        assert len(changed) == 1, arm.name
        assert arm.switch == f"{changed[0]}={getattr(arm.switches, changed[0])}"
        for scale in SCALES.values():
            mine, theirs = (to_json(recipe_of(a, scale)) for a in (arm, parent))
            parts = {name for name in mine if mine[name] != theirs[name]} - {"preset"}
            assert parts == {PARTS[changed[0]]}, arm.name


def test_arms_are_told_apart() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)
    assert len({arm.folder for arm in ARMS}) == len(ARMS)
    assert len({arm.switches for arm in ARMS}) == len(ARMS)


def test_the_study_holds_the_switches_of_the_theory() -> None:
    switches = [arm.switches for arm in ARMS]
    for regularised in (False, True):
        for predictor in (False, True):
            kinds = {
                (s.teacher is not None, s.stop_gradient)
                for s in switches
                if s.sigreg == regularised and s.predictor == predictor
            }
            assert kinds == {(True, True), (False, True), (False, False)}
    assert {s.teacher for s in switches} == {None, 0.0, 0.9, 0.99, 0.996, 0.9999}


# Alarms


def test_first_run_equals_looking_at_every_window() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        beyond = (rng.random(12) < 0.6).tolist()
        patience = int(rng.integers(1, 5))
        windows = [start for start in range(13 - patience) if all(beyond[start : start + patience])]
        assert first_run(beyond, patience) == (windows[0] if windows else None)


def test_alarms_are_dated_by_the_first_row_of_a_run_beyond_the_threshold() -> None:
    steps = np.arange(10, 110, 10)
    log = pd.DataFrame(
        {
            "step": steps,
            "loss": [5.0, 4, 3, 2, 1, 0.4, 0.4, 0.4, 0.4, 0.4],
            "std_time": [1.0, 0.2, 1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2],
            "rank_encoder": [20.0] * 10,
            "teacher_cosine": [0.5] * 7 + [0.995, 0.995, 0.5],
            "verdict": ["healthy"] * 7 + ["constant"] * 3,
        }
    )
    found = alarms_of(log, {"std_time": 1.0, "rank_encoder": 24.0}).set_index("monitor")
    assert found.loc["loss", "alarm_step"] == 60
    assert found.loc["loss", "threshold"] == 0.5
    assert found.loc["std_time", "alarm_step"] == 40  # the dip at step 20 does not last
    assert np.isnan(found.loc["rank_encoder", "alarm_step"])
    assert np.isnan(found.loc["teacher_cosine", "alarm_step"])  # two rows are not three
    assert found.loc["verdict", "alarm_step"] == 80
    assert set(found.index) == {
        "loss", "std_time", "rank_encoder", "teacher_cosine", "verdict",
    }  # fmt: skip


def test_every_threshold_has_a_reference() -> None:
    untrained = {"std_batch", "std_time", "std_lowest", "rank_encoder", "rank_stem", "rank_teacher"}
    assert {t.monitor for t in THRESHOLDS if t.reference == "untrained"} == untrained


# The linear case


def test_the_joint_loss_shrinks_the_encoder_by_four_losses_a_unit_of_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear, "RECORD_EVERY", 1)
    monkeypatch.setattr(linear, "STEP_SIZE", 1e-4)
    values, losses = simulate(LinearArm(name="", stop_gradient=False), seed=3, steps=400)
    rate = np.diff((values**2).sum(1)) / 1e-4
    np.testing.assert_allclose(rate, -4 * losses[:-1], rtol=2e-3)
    assert (losses > 0).all()


def test_without_a_predictor_stop_gradient_follows_the_matrix_power() -> None:
    arm = LinearArm(name="", predictor=False)
    values, _ = simulate(arm, seed=3, steps=300)
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    a = rng.standard_normal((6, 6)) / np.sqrt(6)
    once = np.eye(6) - linear.STEP_SIZE * (np.eye(6) - basis * linear.CORRELATIONS @ basis.T)
    for record, found in enumerate(values):
        power = np.linalg.matrix_power(once, record * linear.RECORD_EVERY)
        np.testing.assert_allclose(found, np.linalg.svd(a @ power, compute_uv=False), atol=1e-10)


@pytest.mark.parametrize("teacher", [None, 0.9, 0.995])
def test_stop_gradient_and_ema_end_at_the_roots_of_the_theory(teacher: float | None) -> None:
    decay = 0.02
    values, _ = simulate(LinearArm(name="", teacher=teacher, decay=decay), seed=0, steps=20_000)
    roots = [
        brentq(lambda b, rho=rho: b * (rho - b) - decay, rho / 2, rho) if rho**2 > 4 * decay else 0
        for rho in linear.CORRELATIONS
    ]
    stable = np.array([*roots, 0.0])
    assert np.abs(values[-1][:, None] - stable).min(1).max() < 2e-3
    np.testing.assert_allclose(values[-1][:3], roots[:3], atol=2e-3)


def test_limits_equal_the_roots() -> None:
    np.testing.assert_allclose(
        linear.limit_values(np.array([0.9, 0.2]), 0.02),
        [max(np.roots([1, -0.9, 0.02])), 0.0],
    )


def test_the_linear_loss_is_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b, target = rng.standard_normal((3, 4, 4))
    pairs = np.diag([0.9, 0.6, 0.3, 0.1])
    x = rng.standard_normal((4, 400_000))
    y = pairs @ x + np.sqrt(1 - np.diag(pairs) ** 2)[:, None] * rng.standard_normal(x.shape)
    residual = b @ a @ x - target @ y
    assert linear._loss(a, b, target, pairs) == pytest.approx(
        0.5 * (residual**2).sum(0).mean(), rel=0.01
    )


# The command


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    assert _run(folder) == 0
    return folder


def _run(folder: Path) -> int | str | None:
    with pytest.raises(SystemExit) as stopped:
        main(["study", "collapse", "--scale", "smoke", "--device", "cpu", "--out", str(folder)])
    return stopped.value.code


def _log(study: Path, arm: str) -> pd.DataFrame:
    return pd.read_csv(study / "arms" / f"{arm}-seed0" / "log.csv")


def test_the_command_leaves_table_figure_and_report(study: Path) -> None:
    table = pd.read_csv(study / "collapse.csv")
    assert set(table["arm"]) == set(SCALES["smoke"].arms)
    assert set(table["monitor"]) >= {"loss", "std_time", "rank_encoder", "verdict"}
    assert {path.name for path in study.iterdir()} >= {
        "collapse.png", "collapse.pdf", "linear.csv", "report.md",
    }  # fmt: skip
    report = (study / "report.md").read_text()
    assert all(f"| {name} |" in report for name in SCALES["smoke"].arms)


def test_ema_of_rate_zero_is_no_teacher_with_stop_gradient(study: Path) -> None:
    shared = ["loss", "std_batch", "std_time", "rank_encoder", "grad_norm"]
    pd.testing.assert_frame_equal(
        _log(study, "EMA-0")[shared], _log(study, "no-teacher")[shared], rtol=1e-4
    )


def test_without_stop_gradient_spread_and_loss_vanish_and_sigreg_keeps_the_spread(
    study: Path,
) -> None:
    last = {
        arm: _log(study, arm).iloc[-1]
        for arm in ("base", "no-stop-gradient", "no-stop-gradient-SIGReg")
    }
    assert last["no-stop-gradient"]["loss"] < 0.2 * last["base"]["loss"]
    assert last["no-stop-gradient"]["std_time"] < 0.5 * last["base"]["std_time"]
    assert last["no-stop-gradient-SIGReg"]["std_time"] > 1.5 * last["no-stop-gradient"]["std_time"]


def test_findings_name_the_monitors_with_the_earliest_alarm(study: Path) -> None:
    table, probes = read_study(study)
    findings = {f.name: f for f in arm_findings(table, probes)}
    for name, finding in findings.items():
        steps = table[(table["arm"] == name) & (table["monitor"] != "verdict")].set_index("monitor")
        steps = steps["alarm_step"].dropna()
        expected = set(steps[steps == steps.min()].index) if len(steps) else set()
        assert set(finding.first) == expected
    assert findings["base"].change["std_time"] == pytest.approx(
        _log(study, "base")["std_time"].iloc[-1]
        / table.query("arm == 'base' and monitor == 'std_time'")["untrained"].astype(float).item(),
        rel=1e-4,
    )


def test_a_stopped_study_goes_on_where_it_was(study: Path) -> None:
    table = (study / "collapse.csv").read_bytes()
    kept = study / "arms" / "base-seed0" / "checkpoint.safetensors"
    before = kept.stat().st_mtime_ns
    shutil.rmtree(study / "arms" / "no-stop-gradient-seed0")
    assert _run(study) == 0
    assert kept.stat().st_mtime_ns == before
    assert (study / "collapse.csv").read_bytes() == table


def test_a_folder_without_a_study_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"collapse\.csv: not there"):
        draw_collapse(tmp_path)


def test_the_figure_writes_every_alarm_and_rings_the_first(study: Path) -> None:
    findings = arm_findings(*read_study(study))
    axes = Figure().add_subplot()
    draw_matrix(axes, findings, steps=80)
    written = [text.get_text() for text in axes.texts]
    alarms = [a for f in findings for a in f.alarms.values() if a.step is not None]
    assert sorted(text for text in written if text.isdigit()) == sorted(str(a.step) for a in alarms)
    bold = [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"]
    assert sorted(bold) == sorted(str(f.alarms[m].step) for f in findings for m in f.first)
    assert [label.get_text() for label in axes.get_yticklabels()] == [f.name for f in findings]
