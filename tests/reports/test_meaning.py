"""The section that says what the scores mean, from rows as a run writes them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from probe_bench.reports.html import render
from probe_bench.reports.meaning import MEANING, meaning_sheets
from probe_bench.reports.metrics import is_curve, is_diagnostic, metric_text
from probe_bench.reports.style import house_style
from probe_bench.reports.tables import headline_panels, headlines, join_runs, panels
from probe_bench.reports.views import table_rows
from probe_bench.rows import Row

Make = Callable[..., Path]


def diagnosed(rows: list[Row]) -> list[Row]:
    """Rows of diagnostics beside the logistic headline of every encoder, layer and task."""
    found: list[Row] = []
    scores = [
        row
        for row in rows
        if row.probe == "logistic" and row.metric in ("accuracy", "uar", "map") and row.value
    ]
    for row in scores:
        value = row.value or 0.0

        def like(
            metric: str,
            value: float,
            half: float,
            setting: str = "",
            row: Row = row,
            **more: object,
        ) -> Row:
            ends = {"ci_low": value - half, "ci_high": value + half}
            return replace(row, metric=metric, value=value, setting=setting, **ends, **more)

        found += [
            like("selectivity", value - 0.2, 0.03, f"of={row.metric};l2=0.1"),
            like(f"control_{row.metric}", 0.2, 0.01, "l2=0.1"),
            like("v_information_bits", 5 * value, 0.1, "entropy_bits=5;l2=0.1"),
            like("code_length_bits", 6 - 4 * value, 0.2, "uniform_bits=6;blocks=6", split="train"),
            like("compression", 6 / (6 - 4 * value), 0.1, "uniform_bits=6;blocks=6", split="train"),
        ]
        if row.layer == "best":
            continue
        for power in range(6):
            n, share = 500 * 2**power, 2.0 ** (power - 5)
            found.append(
                like(
                    f"{row.metric}_at_fraction",
                    value * (0.6 + 0.08 * power),
                    0.02,
                    f"fraction={share:g};n_train={n};l2=0.1",
                )
            )
        found += [
            like(
                f"{row.metric}_at_dim",
                value * (0.5 + 0.1 * power),
                0.02,
                f"pca_dim={8 << power};l2=0.1",
            )
            for power in range(4)
        ]
    return found + located(scores)


def located(scores: list[Row]) -> list[Row]:
    """Rows of where in depth each encoder gains its score; flat for emotion."""
    rng = np.random.default_rng(1)
    found: list[Row] = []
    for row in [row for row in scores if row.layer == "best" and row.role != "logmel"]:
        for metric in ("depth_peak", "depth_gravity", "depth_expected"):
            at = float(rng.uniform(0.2, 0.8))
            flat = row.task == "emotion" and metric != "depth_peak"
            found.append(
                replace(
                    row,
                    layer="all",
                    chosen=False,
                    metric=metric,
                    setting="reason=flat" if flat else f"of={row.metric}",
                    value=None if flat else at,
                    ci_low=None if flat else at - 0.1,
                    ci_high=None if flat else min(1.0, at + 0.15),
                )
            )
    return found


@pytest.fixture(scope="module")
def rows(make_rows: Callable[..., list[Row]]) -> list[Row]:
    plain = make_rows()
    return plain + diagnosed(plain)


@pytest.fixture(scope="module")
def folder(rows: list[Row], make_run: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("meaning") / "both", rows)


def test_diagnostics_are_never_taken_for_a_score(
    folder: Path, rows: list[Row], make_run: Make, tmp_path: Path
) -> None:
    plain = make_run(tmp_path / "both", [row for row in rows if not is_diagnostic(row.metric)])
    with_them, without = join_runs([folder]), join_runs([plain])
    assert panels(with_them) == panels(without)
    assert headline_panels(with_them) == headline_panels(without)
    assert headlines(with_them) == headlines(without)


def test_curves_stay_out_of_the_table_of_numbers(folder: Path) -> None:
    table = join_runs([folder])
    shown, n_points = table_rows(table)
    spectra = table["metric"].isin(["support_gain", "speed_psd"])
    assert n_points == spectra.sum() + table["metric"].map(is_curve).sum()
    assert not any("at fraction" in row.cells[1].text for row in shown)
    assert any("V-information" in row.cells[1].text for row in shown)


def test_every_figure_says_in_words_what_it_shows(folder: Path) -> None:
    table = join_runs([folder])
    with house_style():
        sheets = meaning_sheets(table, None)
    assert set(sheets) == set(MEANING)
    for role, sheet in sheets.items():
        assert sheet is not None, role
        assert len(sheet.alts) == len(sheet.cells) == (3 if role == "location" else 4)
    learning = sheets["learning"]
    assert learning is not None
    picked = table[
        (table["metric"] == "accuracy_at_fraction")
        & (table["name"] == "wavjepa")
        & (table["task"] == "phoneme")
        & table["chosen"]
    ]
    last = float(picked[picked["setting"].str.contains("n_train=16000")]["value"].item())
    (said,) = [text for title, text in learning.alts if title.startswith("phoneme")]
    assert f"wavjepa at {picked['layer'].iloc[0]}" in said
    assert f"{100 * last:.1f}" in said
    lines = learning.cells[0].axes.get_lines()
    assert max(len(line.get_xdata()) for line in lines) == 6


def test_a_curve_without_a_place_is_a_cross_and_not_a_dot(folder: Path) -> None:
    table = join_runs([folder])
    with house_style():
        sheet = meaning_sheets(table, None)["location"]
    assert sheet is not None
    crosses = [
        [line for line in cell.axes.get_lines() if line.get_marker() == "x"] for cell in sheet.cells
    ]
    assert [len(found) for found in crosses] == [0, 4, 4]  # two encoders and their twins
    assert "not measurable" in sheet.alts[1][1]


def test_the_page_has_the_section_only_where_there_is_something(
    folder: Path, run: Path, tmp_path: Path
) -> None:
    assert "What the scores mean" in render([folder], tmp_path).read_text()
    assert "What the scores mean" not in (run / "report.html").read_text()
    assert "learning_curves.svg" in {path.name for path in (tmp_path / "figures").iterdir()}


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("uar_at_dim", "UAR (%)"),
        ("control_map", "mAP (%)"),
        ("accuracy_at_fraction", "accuracy (%)"),
    ],
)
def test_derived_metrics_are_written_as_their_metric(metric: str, label: str) -> None:
    assert metric_text(metric).axis == label
    assert is_diagnostic(metric)
    assert not is_diagnostic(
        metric.split("_")[1] if metric[0] == "c" else metric.split("_", maxsplit=1)[0]
    )
