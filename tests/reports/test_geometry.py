"""The geometry figures say what the rows say."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh

from probe_bench.reports import tables
from probe_bench.reports.geometry import geometry_curves
from probe_bench.reports.html import render
from probe_bench.reports.likeness import likeness
from probe_bench.reports.style import house_style
from probe_bench.rows import Row

Rows = list[Row]
LAYERS = ("cnn", "in", "L1", "out_norm")


@pytest.fixture(autouse=True)
def _house_look() -> Iterator[None]:
    with house_style():
        yield


def geometry_rows(names: tuple[str, ...], like: Row) -> Rows:
    """Ranks of every layer, and CKA of all pairs, which is 1 / (1 + distance in depth)."""
    rows = []
    for name in names:
        role = "random" if name.startswith("random:") else "subject"
        common = replace(
            like, encoder=name, role=role, task="geometry", split="all", chosen=False, setting=""
        )
        for i, layer in enumerate(LAYERS):
            mine = replace(common, layer=layer, depth=i / 3)
            for unit in ("frame", "clip"):
                value = 10.0 * (i + 1) + (unit == "clip")
                rank = replace(mine, probe="spectrum", unit=unit, metric="effective_rank")
                rows.append(replace(rank, value=value, ci_low=value - 1, ci_high=value + 1))
            cka = replace(mine, probe="cka", unit="frame", metric="cka")
            for other in names:
                for j, other_layer in enumerate(LAYERS):
                    if other != name or j > i:
                        setting = f"other={other};other_layer={other_layer}"
                        rows.append(replace(cka, value=1 / (1 + abs(i - j)), setting=setting))
    return rows


@pytest.fixture
def table(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> pd.DataFrame:
    rows = make_rows({"one": 2, "two": 2})
    rows += geometry_rows(("one", "random:one", "two"), rows[0])
    return tables.join_runs([make_run(tmp_path / "run", rows)])


def test_curves_are_those_of_frames(table: pd.DataFrame) -> None:
    sheet = geometry_curves(table, "geometry")
    assert sheet is not None
    (cell,) = sheet.cells
    drawn = [tuple(np.asarray(line.get_ydata(), float)) for line in cell.axes.lines]
    assert drawn.count((10.0, 20.0, 30.0, 40.0)) == 3
    assert sheet.alts[0][0] == "effective rank of frames · speech"
    assert "one: from" in sheet.alts[0][1]


def test_abx_within_and_across_speakers_have_a_panel_each(table: pd.DataFrame) -> None:
    abx = table[(table["metric"] == "effective_rank") & (table["unit"] == "frame")]
    both = [
        abx.assign(
            probe="abx", metric="abx_error", setting=f"speaker={who}", value=abx["value"] / k
        )
        for who, k in (("within", 100), ("across", 50))
    ]
    sheet = geometry_curves(pd.concat(both), "geometry")
    assert sheet is not None
    assert [alt[0] for alt in sheet.alts] == [
        "ABX within speakers · speech",
        "ABX across speakers · speech",
    ]
    for cell, k in zip(sheet.cells, (1, 2), strict=True):
        drawn = [np.asarray(line.get_ydata(), float) for line in cell.axes.lines]
        assert any(
            np.allclose(y, k * np.array([10.0, 20.0, 30.0, 40.0])) for y in drawn if len(y) == 4
        )


def test_maps_hold_every_pair_and_are_symmetric_for_one_encoder(table: pd.DataFrame) -> None:
    sheet = likeness(table, "cka")
    assert sheet is not None
    assert [title for title, _ in sheet.alts] == [
        "one · speech",
        "one and its random twin · speech",
        "one and two · speech",
        "two · speech",
        "two and one · speech",
    ]
    depth = np.arange(4)
    expected = 1 / (1 + abs(depth[:, None] - depth))
    for cell in sheet.cells:
        (mesh,) = (c for c in cell.axes.collections if isinstance(c, QuadMesh))
        assert np.allclose(np.asarray(mesh.get_array()).reshape(4, 4), expected)
        assert [text.get_text() for text in cell.axes.texts[:2]] == ["1.00", ".50"]
        assert [tick.get_text() for tick in cell.axes.get_yticklabels()] == list(LAYERS)


def test_many_encoders_show_their_own_maps_alone(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = geometry_rows(tuple("abcde"), make_rows({"one": 2})[0])
    sheet = likeness(tables.join_runs([make_run(tmp_path / "run", rows)]), "cka")
    assert sheet is not None
    assert [title for title, _ in sheet.alts] == [f"{name} · speech" for name in "abcde"]


def test_without_geometry_there_is_no_figure_and_no_task_is_made_of_it(
    table: pd.DataFrame,
    make_rows: Callable[..., Rows],
    make_run: Callable[..., Path],
    tmp_path: Path,
) -> None:
    assert "geometry" not in {panel.task for panel in tables.panels(table)}
    plain = make_run(tmp_path / "plain", make_rows({"one": 2}))
    assert geometry_curves(tables.join_runs([plain]), "geometry") is None
    assert likeness(tables.join_runs([plain]), "cka") is None
    page = render([plain], tmp_path / "out").read_text(encoding="utf-8")
    assert "No geometry analysis was run." in page


def test_the_page_shows_both_figures_and_leaves_pairs_to_the_file(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = make_rows({"one": 2})
    rows = [*rows, *geometry_rows(("one", "random:one"), rows[0])]
    page = render([make_run(tmp_path / "run", rows)], tmp_path / "out").read_text(encoding="utf-8")
    for part in ("geometry_by_layer.svg", "cka_between_layers.svg"):
        assert part in page
    assert '<td class="wrap">effective rank</td>' in page
    assert '<td class="wrap">CKA</td>' not in page
