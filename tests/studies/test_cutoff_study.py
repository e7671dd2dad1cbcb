"""Studies of the cutoff: their arms, and the whole command on computed tones."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probe_bench.cli import main
from probe_bench.errors import UserError
from probe_bench.reports.cutoff_figures import draw_study
from probe_bench.studies.cutoff.findings import contrast_table, score_table
from probe_bench.studies.cutoff.knobs import Knobs
from probe_bench.studies.cutoff.plans import BASE, PATCHES, PLANS, UNTRAINED
from probe_bench.studies.cutoff.scales import SCALES, recipe_of


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("scale", SCALES.values(), ids=list(SCALES))
def test_arms_are_recipes_that_differ_in_their_knob_alone(name: str, scale: object) -> None:
    arms = PLANS[name].arms(scale)  # type: ignore[arg-type]
    groups = {arm.group for arm in arms}
    assert {BASE, PATCHES, UNTRAINED} <= groups
    assert len({arm.name for arm in arms}) == len(arms)
    for arm in arms:
        recipe = recipe_of(arm.knobs, scale)  # type: ignore[arg-type]
        masks = recipe.masks.sample(4, recipe.grid, np.random.default_rng(0))  # type: ignore[union-attr]
        assert masks.context.float().mean().item() == pytest.approx(0.5, abs=0.11)


def test_every_setting_has_a_folder_of_its_own() -> None:
    knobs = {arm.knobs for plan in PLANS.values() for arm in plan.arms(SCALES["full"])}
    assert len({each.slug for each in knobs}) == len(knobs)
    assert Knobs().slug == "base"
    assert Knobs(span_ms=50.0, teacher=None).slug == "span-50_teacher-no"


def test_spans_of_mask_span_are_all_that_differs_between_its_jepas() -> None:
    arms = [arm for arm in PLANS["mask-span"].arms(SCALES["small"]) if arm.group == BASE]
    recipes = [recipe_of(arm.knobs, SCALES["small"]) for arm in arms]
    same = {dataclasses.replace(r, masks=recipes[0].masks, preset="one") for r in recipes}
    assert len(same) == 1
    assert len({r.masks for r in recipes}) == len(recipes)


def test_spans_that_are_no_whole_tokens_are_refused() -> None:
    with pytest.raises(UserError, match="spans of 60 ms: expected a multiple of 25 ms"):
        recipe_of(Knobs(span_ms=60.0), SCALES["small"])


def _run(out: Path, what: str = "mask-span") -> int:
    words = ["study", what, "--scale", "smoke", "--seeds", "1", "--workers", "1"]
    words += ["--cache", str(out.parent / "cache"), "--out", str(out)]
    with pytest.raises(SystemExit) as stopped:
        main(words)
    return int(str(stopped.value.code))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("studies") / "out"
    assert _run(out) == 0
    return out


def test_the_command_leaves_tables_figure_and_report(study: Path) -> None:
    table = pd.read_csv(study / "mask-span.csv")
    assert list(table["arm"].unique())[-1] == UNTRAINED
    assert set(table["span_ms"]) == {50, 100, 200}
    lines = pd.read_csv(study / "mask-span-lines.csv")
    assert set(lines["group"]) >= {BASE, PATCHES}
    assert (lines["n"] <= 3).all()
    gaps = pd.read_csv(study / "mask-span-gaps.csv")
    assert (gaps.loc[gaps["arm"] == "JEPA 100 ms", "hidden_ms"] == 100).all()
    report = (study / "mask-span.md").read_text()
    assert "| JEPA 50 ms |" in report
    assert "Undecided" in report
    assert (study / "mask-span.png").stat().st_size > 20_000


def test_numbers_are_those_of_the_runs(study: Path) -> None:
    table = pd.read_csv(study / "mask-span.csv")
    rows = pd.read_csv(study / "trainings" / "span-50-seed0" / "run" / "results.csv")
    mine = table[(table["arm"] == "JEPA 50 ms") & (table["metric"] == "support_hz")]
    theirs = rows[rows["metric"] == "support_hz"]
    np.testing.assert_allclose(mine["value"], theirs["value"], rtol=1e-5)


def test_another_study_shares_trainings_and_a_stopped_one_goes_on(study: Path) -> None:
    trainings = study / "trainings"
    kept = {path: path.stat().st_mtime_ns for path in trainings.glob("*/checkpoint.safetensors")}
    shutil.rmtree(trainings / "base-seed0" / "run")
    assert _run(study, "objective") == 0
    assert (trainings / "base-seed0" / "run" / "run.json").exists()
    assert (trainings / "objective-codes-seed0" / "run" / "run.json").exists()
    untouched = {path: path.stat().st_mtime_ns for path in kept if "trained-no" not in str(path)}
    assert untouched.items() <= kept.items()
    assert "Against the base" in (study / "objective.md").read_text()


def test_a_folder_without_a_study_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mask-span\.csv: not there"):
        draw_study(tmp_path, "mask-span")


@pytest.mark.parametrize(
    ("what", "workers", "said"),
    [
        ("collapse", "2", "--workers 2: collapse does one training after the other"),
        ("mask-span", "0", "--workers 0: expected at least 1"),
    ],
)
def test_workers_that_mean_nothing_are_refused(
    what: str, workers: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["study", what, "--scale", "smoke", "--workers", workers, "--out", str(tmp_path)])
    assert said in capsys.readouterr().err


def test_contrasts_are_paired_by_seed() -> None:
    rows = [
        {"arm": arm, "seed": seed, "layer": "L1", "task": "modulation", "metric": "support_hz",
         "value": level * factor, "bound": "at least" if level > 100 else ""}
        for arm, factor in ((BASE, 1.0), ("slow", 0.5), ("alike", 1.01), ("itself", 1.0))
        for seed, level in enumerate((4.0, 8.0, 16.0, 128.0))
    ]  # fmt: skip
    found = contrast_table(pd.DataFrame(rows)).set_index("arm")
    assert found.loc["slow", "change"] == pytest.approx(0.5)
    assert found.loc["slow", ["low", "high"]].astype(float).tolist() == pytest.approx([0.5, 0.5])
    verdicts = {"slow": "lower", "alike": "slightly higher", "itself": "the same"}
    assert found["verdict"].to_dict() == verdicts
    assert (found["n"] == 3).all()


def test_scores_change_by_points_for_each_doubling_as_a_regression_says() -> None:
    rng = np.random.default_rng(0)
    span_ms, seed = np.tile([50.0, 100.0, 200.0, 400.0], 3), np.repeat([0, 1, 2], 4)
    score = 0.6 - 0.01 * np.log2(span_ms) + 0.02 * seed + 0.002 * rng.standard_normal(12)
    rows = {"span_ms": span_ms, "seed": seed, "value": score, "metric": "accuracy", "trained": True}
    rows |= {"depth": 1.0, "layer": "L1", "task": "phoneme", "group": BASE, "bound": ""}
    (found,) = score_table(pd.DataFrame(rows)).to_dict("records")
    design = np.c_[np.log2(span_ms), seed[:, None] == np.arange(3)]
    expected = np.linalg.lstsq(design, 100 * score, rcond=None)[0][0]
    assert found["change"] == pytest.approx(expected, abs=1e-4)
    assert found["low"] < expected < found["high"] < 0
    assert found["verdict"] == "lower"
