"""Robustness in the report: what is drawn and told is what the rows say, and clean scores stay clean."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from probe_bench.reports.html import render
from probe_bench.reports.metrics import metric_text
from probe_bench.reports.robustness import degradation_curves, robustness_groups
from probe_bench.reports.tables import headlines, join_runs, panels
from probe_bench.reports.terminal import summary
from probe_bench.reports.views import headline_groups, table_rows
from probe_bench.rows import Row

SEVERITIES = (20, 0, -5)


def degraded_rows(rows: list[Row]) -> list[Row]:
    """Every headline score halved at each severity, its area and its share."""
    found = []
    for row in rows:
        headline = (row.task, row.metric) in (("speaker", "accuracy"), ("phoneme", "accuracy"))
        if not headline or row.role == "chance" or row.value is None:
            continue
        shared = replace(row, split="test+noise")
        for k, snr_db in enumerate(SEVERITIES):
            value = row.value * 0.5**k
            setting = ";".join(filter(None, (row.setting, f"snr_db={snr_db}")))
            interval = {"ci_low": value - 0.01, "ci_high": value + 0.01}
            found.append(replace(shared, value=value, setting=setting, **interval))
        setting = ";".join(filter(None, (row.setting, "snr_db=20|0|-5")))
        area = {"setting": setting, "value": row.value * 1.75 / 3}
        area |= {"ci_low": area["value"] - 0.01, "ci_high": area["value"] + 0.01}
        share = {"setting": setting, "value": 0.55, "ci_low": 0.5, "ci_high": 0.6}
        found.append(replace(shared, metric="robustness_area:noise:accuracy", **area))
        found.append(replace(shared, metric="robustness_share:noise:accuracy", **share))
    return found


@pytest.fixture
def clean(make_rows: Callable[..., list[Row]]) -> list[Row]:
    return make_rows()


@pytest.fixture
def both(clean: list[Row], make_run: Callable[..., Path], tmp_path: Path) -> pd.DataFrame:
    return join_runs([make_run(tmp_path / "both", clean + degraded_rows(clean))])


def test_degraded_rows_never_pass_for_clean_ones(
    both: pd.DataFrame, clean: list[Row], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    alone = join_runs([make_run(tmp_path / "clean", clean)])
    assert panels(both) == panels(alone)
    assert headline_groups(both) == headline_groups(alone)
    for first, second in zip(headlines(both), headlines(alone), strict=True):
        assert (first.name, first.layer, first.score) == (second.name, second.layer, second.score)
    assert table_rows(both) == table_rows(alone)
    # Even where they stand before the clean ones.
    turned = both.iloc[::-1].reset_index(drop=True)
    scores = {(h.name, h.panel.task, h.panel.metric): h.score for h in headlines(turned)}
    for headline in headlines(alone):
        key = (headline.name, headline.panel.task, headline.panel.metric)
        assert scores.get(key, headline.score) == headline.score
    assert summary(both) is not None


def test_groups_hold_areas_shares_and_clean_scores(both: pd.DataFrame) -> None:
    groups = robustness_groups(both)
    assert [(g.area.task, g.kind) for g in groups] == [("speaker", "noise"), ("phoneme", "noise")]
    for group in groups:
        assert [line.name for line in group.area.lines] == ["wavjepa", "audio-jepa"]
        for line, share, clean in zip(group.area.lines, group.shares, group.clean, strict=True):
            assert float(line.value) == pytest.approx(float(clean) * 1.75 / 3, abs=0.1)
            assert share is not None
            assert share.value == "55.0"
            assert [cell is not None for cell in line.baselines] == [True, True, True]
            assert [cell is not None for cell in share.baselines[:2]] == [True, True]


def test_curves_show_clean_and_every_severity(both: pd.DataFrame) -> None:
    sheet = degradation_curves(both, "curves")
    assert sheet is not None
    assert [title for title, _ in sheet.alts] == [
        "speaker · speech · noise",
        "phoneme · speech · noise",
    ]
    axes = sheet.cells[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "clean",
        "20",
        "0",
        "\N{MINUS SIGN}5",
    ]
    mine = both[(both["name"] == "wavjepa") & (both["layer"] == "best")]
    mine = mine[(mine["task"] == "speaker") & (mine["metric"] == "accuracy")]
    expected = (100 * mine["value"]).tolist()
    drawn = [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 4]
    assert any(curve == pytest.approx(expected) for curve in drawn)


def test_a_run_without_degraded_audio_has_no_such_section(
    clean: list[Row], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    table = join_runs([make_run(tmp_path / "clean", clean)])
    assert degradation_curves(table, "curves") is None
    assert robustness_groups(table) == []


def test_a_run_without_degraded_audio_stands_beside_one_with_it(
    clean: list[Row], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    others = [replace(row, encoder=row.encoder and f"{row.encoder}-2") for row in clean]
    runs = [
        make_run(tmp_path / "with", clean + degraded_rows(clean)),
        make_run(tmp_path / "without", others),
    ]
    assert "How robust" in render(runs, tmp_path / "report").read_text(encoding="utf-8")


def test_low_passed_modulations_are_drawn_apart_and_have_no_area(
    clean: list[Row], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    heard = degraded_rows(clean)
    smooth = [
        replace(
            row,
            split="test+modulations",
            metric=row.metric.replace(":noise:", ":modulations:"),
            setting=row.setting.replace("snr_db", "mod_cutoff_hz"),
        )
        for row in heard
    ]
    folder = make_run(tmp_path / "both", clean + heard + smooth)
    table = join_runs([folder])
    assert {group.kind for group in robustness_groups(table)} == {"noise"}
    sheets = [degradation_curves(table, "curves", modulations=which) for which in (False, True)]
    titles = [{title.split(" · ")[-1] for title, _ in sheet.alts} for sheet in sheets if sheet]
    assert titles == [{"noise"}, {"modulations"}]
    alone = render([make_run(tmp_path / "alone", clean + smooth)], tmp_path / "alone").read_text()
    assert 'id="robustness"' not in alone
    assert "score_by_modulation_cutoff.svg" in alone


def test_encoders_that_cannot_hear_are_left_out(
    clean: list[Row], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    """Only the log-mel baseline has audio here, as beside a folder of features."""
    heard = [row for row in degraded_rows(clean) if row.role == "logmel"]
    table = join_runs([make_run(tmp_path / "some", clean + heard)])
    assert robustness_groups(table) == []
    assert degradation_curves(table, "curves") is None


def test_the_page_has_the_section(both: pd.DataFrame, tmp_path: Path) -> None:
    page = render([tmp_path / "both"], tmp_path / "both").read_text(encoding="utf-8")
    assert 'id="robustness"' in page
    assert "score_by_severity.svg" in page
    n_degraded = both["split"].str.startswith("test+").sum()
    assert f"the {n_degraded} rows of degraded audio" in page


def test_areas_read_as_their_metric() -> None:
    text = metric_text("robustness_area:noise-white:eer")
    assert text.lower_is_better
    assert text.axis == "mean EER under noise-white (%), lower is better"
    share = metric_text("robustness_share:band:eer")
    assert not share.lower_is_better
    assert share.scale == 100
