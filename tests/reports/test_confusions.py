"""Heatmaps of what is taken for what, and the weights of a weighted sum."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probe_bench.errors import UserError
from probe_bench.reports.confusions import Confusions, _labels, confusion_maps, read_confusions
from probe_bench.reports.html import render
from probe_bench.reports.tables import Panel, headline_panels, join_runs, panels
from probe_bench.reports.weights import weight_curves
from probe_bench.rows import Row, write_rows

PHONES = Panel(task="phoneme", corpus="speech", probe="ctc", metric="per")


def pairs(*counted: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(counted, columns=["reference", "hypothesis", "count"])


def score(**fields: object) -> Row:
    defaults: dict[str, object] = {
        "run_id": "0",
        "encoder": "mine",
        "layer": "best",
        "depth": None,
        "dim": None,
        "frame_rate_hz": None,
        "corpus": "speech",
        "task": "emotion",
        "unit": "clip",
        "probe": "weighted-sum",
        "setting": "layer=sum;lr=0.01",
        "split": "test",
        "metric": "uar",
        "value": 0.6,
        "ci_low": 0.5,
        "ci_high": 0.7,
        "n": 60,
        "n_groups": 6,
        "chosen": True,
        "role": "subject",
        "censored": False,
        "seed": 0,
    }
    return Row(**{**defaults, **fields})  # type: ignore[arg-type]


def weight(encoder: str, layer: str, depth: float, value: float, role: str = "subject") -> Row:
    return replace(
        score(encoder=encoder, role=role),
        layer=layer,
        depth=depth,
        metric="layer_weight",
        split="train",
        value=value,
        ci_low=None,
        ci_high=None,
        chosen=False,
    )


@pytest.fixture
def rows() -> list[Row]:
    found = []
    for encoder, role in (("mine", "subject"), ("random:mine", "random")):
        found.append(score(encoder=encoder, role=role))
        for k, value in enumerate((0.2, 0.7, 0.1)):
            found.append(weight(encoder, f"L{k}", k / 2, value, role))
    return found


@pytest.fixture
def table(tmp_path: Path, rows: list[Row]) -> pd.DataFrame:
    write_rows(rows, tmp_path / "results.csv")
    return join_runs([tmp_path])


def test_like_labels_stand_side_by_side_and_rare_ones_stay_out() -> None:
    counted = [(a, a, 60) for a in "abcd"]
    counted += [("a", "d", 40), ("d", "a", 40), ("b", "c", 40), ("c", "b", 40)]
    order = "".join(_labels(pairs(*counted)))
    assert "ad" in order or "da" in order
    assert "bc" in order or "cb" in order
    many = [(f"p{k:02d}", f"p{k:02d}", 1000 - k) for k in range(35)]
    assert sorted(_labels(pairs(*many))) == [f"p{k:02d}" for k in range(30)]


def test_no_picture_is_drawn_of_too_few() -> None:
    speakers = pairs(*[(f"s{k}", f"s{k}", 20) for k in range(72)])  # 30 of them are under half
    assert _labels(speakers) == []
    assert _labels(pairs(("a", "a", 3), ("b", "b", 3))) == []
    assert confusion_maps([Confusions(name="x", panel=PHONES, pairs=speakers)], "c") is None


def test_shares_deletions_and_insertions_are_drawn() -> None:
    counted = pairs(("a", "a", 30), ("a", "b", 10), ("b", "b", 20), ("b", "", 20), ("", "a", 5))
    sheet = confusion_maps([Confusions(name="x", panel=PHONES, pairs=counted)], "c")
    assert sheet is not None
    axes = sheet.cells[0].axes
    shares = np.ma.filled(axes.collections[0].get_array(), 0.0) ** 2  # depth of blue is its root
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[-1] == "inserted"
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "deleted"
    a, b = labels.index("a"), labels.index("b")
    wanted = np.zeros((3, 3))
    wanted[a, a], wanted[a, b], wanted[b, b], wanted[b, 2], wanted[2, a] = 0.75, 0.25, 0.5, 0.5, 1
    np.testing.assert_allclose(shares, wanted)
    assert "a for b 25%" in sheet.alts[0][1]


def test_encoders_share_one_order_of_labels() -> None:
    first = pairs(("a", "a", 30), ("a", "c", 20), ("b", "b", 30), ("c", "c", 30))
    second = pairs(("a", "a", 30), ("a", "b", 25), ("b", "b", 30), ("c", "c", 30))
    found = [Confusions(name=n, panel=PHONES, pairs=p) for n, p in (("x", first), ("y", second))]
    sheet = confusion_maps(found, "c")
    assert sheet is not None
    orders = [[t.get_text() for t in cell.axes.get_yticklabels()] for cell in sheet.cells]
    assert orders[0] == orders[1]
    assert [entry.label for entry in sheet.legend][-1] == "100 %"


def test_the_first_probe_of_each_task_and_unit_is_read(tmp_path: Path) -> None:
    rows = [
        score(encoder="my/own", probe=probe, unit=unit, layer="L1", depth=1.0)
        for probe, unit in (("logistic", "frame"), ("mlp", "frame"), ("ctc", "clip"))
    ]
    (tmp_path / "confusions").mkdir()
    write_rows(rows, tmp_path / "results.csv")
    for probe in ("logistic", "mlp", "ctc"):
        path = tmp_path / "confusions" / f"emotion.speech.my_own.{probe}.csv"
        pairs(("null", "", 3)).to_csv(path, index=False)
    found = read_confusions({tmp_path.name: tmp_path}, join_runs([tmp_path]))
    assert [(each.panel.probe, each.name) for each in found] == [
        ("logistic", "my/own"),
        ("ctc", "my/own"),
    ]
    assert found[0].pairs.to_numpy().tolist() == [["null", "", 3]]
    path.write_text("reference,count\na,1\n")
    with pytest.raises(UserError, match=r"ctc.csv: not a table of reference, hypothesis, count"):
        read_confusions({tmp_path.name: tmp_path}, join_runs([tmp_path]))


def test_weights_are_drawn_beside_the_twins_and_equal_ones(table: pd.DataFrame) -> None:
    sheet = weight_curves(table, "w")
    assert sheet is not None
    twin, mine, equal = sheet.cells[0].axes.lines[:3]
    for line in (twin, mine):
        np.testing.assert_allclose(line.get_ydata(), [20, 70, 10])
    np.testing.assert_allclose(equal.get_ydata(), 100 / 3)
    assert [entry.label for entry in sheet.legend] == ["mine", "random:mine", "equal weights"]
    assert "most on L1 (70% of 3 layers)" in sheet.alts[0][1]
    assert weight_curves(table[table["metric"] == "uar"], "w") is None


def test_weights_are_no_scores_and_the_sum_is_a_level_of_its_own(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    assert [panel.metric for panel in panels(table)] == ["uar"]
    assert headline_panels(table) == panels(table)
    page = render([tmp_path], tmp_path).read_text(encoding="utf-8")
    assert "Which layers a weighted sum takes" in page
    assert "all layers together" in page
    assert (tmp_path / "figures" / "layer_weights.svg").is_file()
