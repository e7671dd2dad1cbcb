"""What is read from the rows: panels, picked layers, baselines, several runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from probe_bench.errors import UserError
from probe_bench.reports import tables
from probe_bench.rows import Row

Rows = list[Row]


def test_the_headline_is_the_first_metric_of_each_task(table: pd.DataFrame) -> None:
    found = [(panel.task, panel.metric) for panel in tables.headline_panels(table)]
    assert found == [
        ("speaker", "accuracy"), ("phoneme", "accuracy"), ("emotion", "uar"), ("tagging", "map"),
    ]  # fmt: skip
    assert len(tables.panels(table)) == 7


def test_the_headline_is_the_picked_layer_not_the_best_on_test(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = []
    for row in make_rows({"one": 4}):
        if (row.encoder, row.task, row.metric) == ("one", "speaker", "accuracy"):
            row = replace(row, chosen=row.layer in ("L2", "best"))  # noqa: PLW2901
            if row.layer in ("L2", "best"):
                row = replace(row, value=0.31, ci_low=0.3, ci_high=0.32)  # noqa: PLW2901
        rows.append(row)
    headline = tables.headlines(tables.join_runs([make_run(tmp_path / "run", rows)]))[0]
    assert (headline.layer, headline.score.value) == ("L2", 0.31)


def test_folds_that_disagree_show_the_layer_of_most(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    mixed = "layer=in;l2=1|layer=L2;l2=1|layer=L2;l2=0.1"
    rows = [
        replace(
            row,
            chosen=row.layer in ("L2", "best"),
            setting=mixed if row.layer == "best" else row.setting,
        )
        if (row.encoder, row.task, row.metric) == ("one", "speaker", "accuracy")
        else row
        for row in make_rows({"one": 4})
    ]
    first, second, *_ = tables.headlines(tables.join_runs([make_run(tmp_path / "run", rows)]))
    assert (first.layer, first.mixed) == ("L2", True)
    assert not second.mixed


def test_layers_of_one_depth_stand_apart_and_in_order(table: pd.DataFrame) -> None:
    rows = tables.headline_panels(table)[0].of(table)
    rows = rows.assign(depth=rows["layer"].map({"cnn": 0, "in": 0, "L1": 0.5, "L4": 1}))
    rows.loc[rows["layer"] == "out_norm", "depth"] = 1
    for picked in ("cnn", "out_norm"):
        rows = rows.assign(chosen=rows["layer"] == picked)
        curve = tables.layer_rows(rows[rows["layer"] != "L2"], "wavjepa").dropna(subset="depth")
        assert list(curve["layer"]) == ["cnn", "in", "L1", "L4", "out_norm"]
        assert list(curve["place"]) == [-0.5, 0, 0.5, 1, 1.5]


def test_without_a_picked_layer_there_is_no_headline(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [replace(row, chosen=False) for row in make_rows({"one": 4}) if row.layer != "best"]
    table = tables.join_runs([make_run(tmp_path / "run", rows)])
    assert tables.headlines(table) == []


def test_each_baseline_is_the_right_row(table: pd.DataFrame) -> None:
    headline = next(h for h in tables.headlines(table) if h.name == "audio-jepa")
    rows = table[(table["task"] == "speaker") & (table["metric"] == "accuracy")]
    expected = {
        "random": rows[(rows["encoder"] == "random:audio-jepa") & (rows["layer"] == "best")],
        "logmel": rows[(rows["encoder"] == "logmel:100") & (rows["layer"] == "best")],
        "chance": rows[rows["role"] == "chance"],
    }
    assert {role: s.value for role, s in headline.baselines.items()} == {
        role: row["value"].item() for role, row in expected.items()
    }


def test_log_mel_at_the_nearest_frame_rate_is_the_baseline(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = make_rows({"one": 4})
    slow = [
        replace(row, encoder="logmel:25", frame_rate_hz=25.0, value=0.123)
        for row in rows
        if row.role == "logmel"
    ]
    table = tables.join_runs([make_run(tmp_path / "run", slow + rows)])
    assert all(h.baselines["logmel"].value != 0.123 for h in tables.headlines(table))


def test_curves_leave_out_validation_rows_and_the_best_layer(table: pd.DataFrame) -> None:
    panel = tables.headline_panels(table)[0]
    rows = panel.of(table)
    extra = rows[rows["layer"] == "L1"].assign(split="valid", layer="L99")
    curve = tables.layer_rows(pd.concat([rows, extra]), "wavjepa")
    assert list(curve["layer"]) == ["cnn", "in", "L1", "L2", "L3", "L4", "out_norm"]


def test_a_spectrum_is_in_order_of_frequency(table: pd.DataFrame) -> None:
    shuffled = table.sample(frac=1, random_state=0)
    curve = tables.spectrum(shuffled, "support_gain", "wavjepa", "L2")
    assert len(curve) == 24
    assert curve["mod_freq_hz"].is_monotonic_increasing
    assert curve["value"].is_monotonic_decreasing


def test_two_runs_that_agree_are_shown_once_and_else_by_run(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    first = make_run(tmp_path / "a", make_rows({"one": 4}))
    again = make_run(tmp_path / "b", make_rows({"one": 4}))
    other = make_run(tmp_path / "c", make_rows({"one": 4}, seed=1))
    same = tables.join_runs([first, again])
    assert tables.subjects(same) == ["one"]
    assert len(tables.distinct(same)) == len(same) / 2
    differing = tables.join_runs([first, other])
    assert tables.subjects(differing) == ["one (a)", "one (c)"]
    assert tables.twin_name(differing, "one (c)") == "random:one (c)"


def test_baselines_alone_are_what_the_report_is_about(table: pd.DataFrame) -> None:
    alone = table[table["role"].isin(["logmel", "random", "chance"])].drop(columns=["name"])
    named = tables.name_series(alone)
    assert tables.subjects(named) == ["random:wavjepa", "random:audio-jepa", "logmel:100"]
    assert tables.headlines(named)[0].baselines.keys() == {"chance"}


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run given"):
        tables.join_runs([])
    with pytest.raises(UserError, match=r"results\.csv"):
        tables.join_runs([tmp_path])
