"""What the report takes from `run.json` beside the rows."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from probe_bench.reports import tables
from probe_bench.reports.html import render
from probe_bench.reports.record import Record, hidden_runs_ms, unlike
from probe_bench.rows import Row


def record(label: str, **spans: float | None) -> Record:
    encoders = [{"name": name, "hidden_run_ms": ms} for name, ms in spans.items()]
    return Record(label=label, run_ids=("1",), found=True, content={"encoders": encoders})


@pytest.fixture
def folders(
    make_rows: Callable[..., list[Row]], make_run: Callable[..., Path], tmp_path: Path
) -> list[Path]:
    """Two runs that disagree about one encoder."""
    runs = (("one", {"wavjepa": 3}, 0), ("two", {"wavjepa": 3, "lejepa": 2}, 1))
    return [make_run(tmp_path / name, make_rows(who, seed)) for name, who, seed in runs]


def test_spans_of_masks_go_by_the_names_that_are_displayed(folders: list[Path]) -> None:
    table = tables.join_runs(folders)
    records = [record("one", wavjepa=151.4), record("two", wavjepa=270.0, lejepa=None)]
    assert hidden_runs_ms(table, records) == {"wavjepa (one)": 151.4, "wavjepa (two)": 270.0}
    older = Record(label="one", run_ids=("1",), found=True, content={"encoders": [{}]})
    assert hidden_runs_ms(table, [older, record("nowhere", wavjepa=1.0)]) == {}


def test_runs_that_heard_other_clips_are_told_apart() -> None:
    def heard(label: str, digest: str, clips: int, seed: int) -> Record:
        corpus = {"name": "emodb", "digest": digest, "clips": clips}
        content = {"corpora": [corpus], "config": {"seed": seed}}
        return Record(label=label, run_ids=("1",), found=True, content=content)

    whole, again, part = heard("a", "1", 339, 0), heard("b", "1", 339, 0), heard("c", "2", 60, 1)
    assert unlike([whole, again]) == []
    clips, seeds = unlike([whole, again, part])
    assert "other parts of emodb (" in clips
    assert "c: 60 clips" in clips
    assert "(a: 0, b: 0, c: 1)" in seeds


def test_the_page_explains_them_where_they_are_known(folders: list[Path]) -> None:
    run = folders[0]
    words = "1&nbsp;/&nbsp;(2&nbsp;T)"
    assert words not in render([run], run).read_text(encoding="utf-8")
    told = json.loads((run / "run.json").read_text())
    told["encoders"][0]["hidden_run_ms"] = 151.4
    (run / "run.json").write_text(json.dumps(told))
    page = render([run], run).read_text(encoding="utf-8")
    assert words in page
    assert "1 / (2 T) of the masks of wavjepa: 3.3 Hz." in page
