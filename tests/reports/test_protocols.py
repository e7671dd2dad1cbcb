"""The section of published protocols: variants side by side, with what is in print."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from probe_bench.reports.html import render
from probe_bench.rows import Row

SUPERB = {
    "name": "superb",
    "summary": "a linear head",
    "source": "a paper",
    "faults": {"superb": "its own fault"},
    "departures": ["no gradient clipping"],
}


def test_the_page_has_the_section_only_where_a_protocol_was_run(
    make_rows: Callable[..., list[Row]], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = make_rows({"one": 4})
    best = [r for r in rows if (r.task, r.metric, r.layer) == ("speaker", "accuracy", "best")]
    rows += [replace(row, probe=name) for name in ("superb", "superb-honest") for row in best]
    rows += [replace(row, probe="superb", metric="uar", value=0.123456) for row in best]
    folder = make_run(tmp_path / "run", rows)
    assert 'id="protocols"' not in render([folder], tmp_path / "out").read_text(encoding="utf-8")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"protocols": [SUPERB]}))
    page = render([folder], tmp_path / "out").read_text(encoding="utf-8")
    assert 'href="#protocols"' in page
    assert "superb: speaker on speech, accuracy (%): a linear head." in page
    assert "its own fault" in page
    assert "12.3" not in page[page.index('id="protocols"') :].split("</section>")[0]
