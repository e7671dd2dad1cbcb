"""The training figure shows what the log says, and nothing that it does not have."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from probe_bench.errors import UserError
from probe_bench.reports.canvas import Sheet
from probe_bench.reports.step_axis import KINDS
from probe_bench.reports.style import house_style
from probe_bench.reports.training import PANELS, draw_training, training_sheet
from probe_bench.rows import Row

STEPS = np.arange(50, 1050, 50)


@pytest.fixture(autouse=True)
def _house_look() -> Iterator[None]:
    with house_style():
        yield


@pytest.fixture
def log() -> pd.DataFrame:
    """Every column that a recipe can have."""
    rng = np.random.default_rng(0)
    columns = {column for panel in PANELS for column in panel.columns} - {"taken"}
    table = pd.DataFrame({name: rng.uniform(0.1, 0.9, len(STEPS)) for name in sorted(columns)})
    table.insert(0, "step", STEPS)
    table["ema"] = np.linspace(0.99, 0.9999, len(STEPS))
    table["verdict"] = "healthy"
    table.loc[4:8, "verdict"] = "dimensional"
    table.loc[15:, "verdict"] = "stem"
    return table


def panel(sheet: Sheet, title: str) -> Axes | None:
    found = [cell.axes for cell in sheet.cells if cell.axes.get_title("left") == title]
    return found[0] if found else None


def curves(axes: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata(), float) for line in axes.lines}


def spans(axes: Axes, kind: str) -> set[tuple[float, float]]:
    """Where the strip over a panel has the colour of a verdict."""
    strips = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_y() == 1]
    return {
        (p.get_x(), p.get_x() + p.get_width())
        for p in strips
        if to_hex(p.get_facecolor()) == KINDS[kind]
    }


def test_every_column_is_a_curve_of_its_panel(log: pd.DataFrame) -> None:
    sheet = training_sheet(log)
    shown = log.assign(taken=1 - log["ema"])
    for monitors in PANELS:
        axes = panel(sheet, monitors.title)
        assert axes is not None, monitors.title
        drawn = curves(axes)
        assert len(drawn) == len(monitors.columns)
        for column, name in monitors.columns.items():
            np.testing.assert_allclose(drawn[name], shown[column] * monitors.scale)


@pytest.mark.parametrize(
    ("dropped", "title"),
    [
        (["teacher_cosine"], "teacher and student"),
        (["visible_fraction", "target_fraction"], "masks as drawn"),
        (["hidden_run_ms"], "hidden stretch of time"),
        (["nonzero_projected"], "projected embeddings"),
    ],
)
def test_a_part_that_the_recipe_lacks_has_no_panel(
    log: pd.DataFrame, dropped: list[str], title: str
) -> None:
    assert panel(training_sheet(log), title) is not None
    assert panel(training_sheet(log.drop(columns=dropped)), title) is None


def test_terms_that_say_nothing_are_left_out(log: pd.DataFrame) -> None:
    alone = log.assign(penalty=0.0, prediction=log["loss"], nonzero_projected=1.0)
    sheet = training_sheet(alone)
    axes = panel(sheet, "loss")
    assert axes is not None
    assert set(curves(axes)) == {"loss"}
    assert panel(sheet, "projected embeddings") is None


def test_the_strip_shows_every_verdict_over_its_steps(log: pd.DataFrame) -> None:
    sheet = training_sheet(log)
    for cell in sheet.cells:
        assert spans(cell.axes, "dimensional") == {(200, 450)}
        assert spans(cell.axes, "stem") == {(750, 1000)}
        assert spans(cell.axes, "healthy") == {(0, 200), (450, 750)}
    labels = [entry.label for entry in sheet.legend]
    assert labels == ["healthy: 10 rows", "dimensional collapse: 5 rows", "stem collapse: 5 rows"]


def test_probes_are_a_curve_a_layer(
    log: pd.DataFrame, make_rows: Callable[..., list[Row]], tmp_path: Path
) -> None:
    rows = pd.DataFrame([{k: getattr(r, k) for k in r.__slots__} for r in make_rows()])
    rows = rows[(rows["encoder"] == "wavjepa") & (rows["task"].isin(["speaker", "phoneme"]))]
    probes = pd.concat([rows.assign(step=s, value=rows["value"] * s / 1000) for s in (500, 1000)])
    probes.to_csv(tmp_path / "probes.csv", index=False)
    sheet = training_sheet(log, pd.read_csv(tmp_path / "probes.csv"))
    for task, metric in (("speaker", "accuracy"), ("phoneme", "accuracy")):
        axes = panel(sheet, f"{task} · speech")
        assert axes is not None
        mine = rows[
            (rows["task"] == task) & (rows["metric"] == metric) & (rows["layer"] != "best")
        ].sort_values("depth", kind="stable")
        assert len(axes.lines) == len(mine)
        for line, value in zip(axes.lines, mine["value"], strict=True):
            np.testing.assert_allclose(line.get_xdata(), [500, 1000])
            np.testing.assert_allclose(line.get_ydata(), [50 * value, 100 * value])


def test_equal_logs_give_equal_bytes(log: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        log.to_csv(tmp_path / name / "log.csv", index=False)
    first, second = (draw_training(tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_a_log_of_one_row_and_a_diverged_one_are_drawn(log: pd.DataFrame, tmp_path: Path) -> None:
    log.iloc[:1].to_csv(tmp_path / "log.csv", index=False)
    assert draw_training(tmp_path).exists()
    diverged = log.assign(loss=np.nan, grad_norm=np.inf)
    sheet = training_sheet(diverged)
    assert panel(sheet, "gradient") is None
    assert panel(sheet, "effective rank") is not None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "not there"),
        ("step,loss,verdict\n", "no rows"),
        ("step,loss\n1,2\n", "verdict"),
        ("", "readable"),
    ],
)
def test_an_unusable_log_is_one_line(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "log.csv").write_text(content)
    with pytest.raises(UserError, match=said):
        draw_training(tmp_path)
