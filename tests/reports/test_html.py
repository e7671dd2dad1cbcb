"""The report file: whole, escaped, the same from the same rows, and tolerant of what is missing."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from probe_bench.errors import UserError
from probe_bench.reports.html import render
from probe_bench.rows import Row

Rows = list[Row]
HOSTILE = "<script>alert(1)</script>"
AWKWARD = "e\"'&l$x_1$ 模型 ü"


class Page(HTMLParser):
    """Elements, attributes and text of a page; HTML's void elements have no end."""

    VOID = ("meta", "link", "br", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes something else"

    def handle_data(self, data: str) -> None:
        self.text.append((self.open[-1] if self.open else "", data))

    def words(self, tag: str) -> str:
        return " ".join(" ".join(data for where, data in self.text if where == tag).split())


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page((run / "report.html").read_text(encoding="utf-8"))


def test_everything_is_closed_and_in_order(page: Page) -> None:
    assert page.open == []
    sections = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert sections == ["summary", "what", "speed", "table", "method"]


def test_ids_are_unique_and_every_reference_meets_one(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.elements if attrs.get("id")]
    assert len(ids) == len(set(ids))
    referred = []
    for _, attrs in page.elements:
        for key, value in attrs.items():
            if key == "href" and value and value.startswith("#"):
                referred.append(value[1:])
            referred += re.findall(r"url\(#([^)]*)\)", value or "") if key != "d" else []
            referred += (value or "").split() if key == "aria-labelledby" else []
    assert len(referred) > 100
    assert set(referred) <= set(ids)


def test_nothing_comes_from_outside(run: Path, page: Page) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|src=|url\((?!#)", text)
    links = {attrs["href"] for tag, attrs in page.elements if tag in ("a", "link")}
    files = {link for link in links if link and not link.startswith(("#", "data:,"))}
    assert len(files) == 15
    for link in files:
        assert link is not None
        assert (run / link).stat().st_size > 1000


def test_figures_speak_and_headers_have_a_scope(page: Page) -> None:
    drawings = [attrs for tag, attrs in page.elements if tag == "svg" and "class" not in attrs]
    assert len(drawings) == 12
    assert all(attrs["role"] == "img" and attrs["aria-labelledby"] for attrs in drawings)
    heads = [attrs for tag, attrs in page.elements if tag == "th"]
    assert heads
    assert all(attrs.get("scope") in ("col", "row", "rowgroup") for attrs in heads)
    assert "chosen layer" in page.words("desc")


def test_the_table_has_every_row_but_spectra_and_repeated_best(run: Path, page: Page) -> None:
    from probe_bench.rows import read_rows  # noqa: PLC0415

    rows = read_rows(run / "results.csv")
    spectra = rows["metric"].isin(["support_gain", "speed_psd"])
    n_points = f"{spectra.sum():,}".replace(",", " ")
    expected = (~spectra & (rows["layer"] != "best")).sum()
    cells = [attrs for tag, attrs in page.elements if tag == "td" and "data-key" in attrs]
    assert len(cells) == 7 * expected
    assert f"({n_points} of them)" in page.words("p")


def test_the_summary_answers_first(page: Page) -> None:
    tables = [attrs.get("class") for tag, attrs in page.elements if tag == "table"]
    assert tables[:2] == ["answers", "headline"]
    assert page.words("h1") == "What wavjepa and audio-jepa hear, at which layer, and how fast"
    text = " ".join(" ".join(data for _, data in page.text).split())
    assert "Follows the sound up to" in text
    assert "support cutoff (Hz), linear readout, speech; n = 400 in 40 groups" in text


def test_how_it_was_measured_is_there(page: Page) -> None:
    text = " ".join(data for _, data in page.text)
    for fact in (
        "probe-bench run --encoder wavjepa --out 'out/my run'", "2 min 22 s", "48.2 MB", "CC0-1.0",
        "silent: peak 0.0", "emotion: 3 clips have no label", "2.11.0", "812\u202f345",
        "400\N{EN DASH}410", "UAR", "n = 240 in 40 groups",
    ):  # fmt: skip
        assert fact in text, fact


def test_names_from_outside_are_text_everywhere(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [
        replace(row, corpus=f"<b>{row.corpus}", setting=f"{row.setting};</td><img src=x>")
        for row in make_rows({HOSTILE: 1, AWKWARD: 2})
        if row.task in ("emotion", "modulation")
    ]
    folder = make_run(tmp_path / "a<i>b", rows)
    record = json.loads((folder / "run.json").read_text())
    record["notes"] = [HOSTILE]
    record["config"] = {HOSTILE: [HOSTILE]}
    record["corpora"][0]["left_out"] = [{"clip": HOSTILE, "reason": HOSTILE}]
    (folder / "run.json").write_text(json.dumps(record))
    seconds = [row for row in make_rows({HOSTILE: 1}, seed=1) if row.task == "emotion"]
    other = make_run(tmp_path / "b", seconds)
    page = Page(render([folder, other], tmp_path / "out").read_text(encoding="utf-8"))
    assert page.open == []
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert not {"b", "img", "i"} & {tag for tag, _ in page.elements}
    assert not any(key.startswith("on") for _, attrs in page.elements for key in attrs)
    for tag in ("title", "desc", "th", "td", "option", "li", "dt", "dd", "code"):
        assert HOSTILE in page.words(tag), tag
    assert AWKWARD in page.words("text")
    assert HOSTILE[:16] in page.words("text")  # the middle of so long a title is cut out
    svg = (tmp_path / "out/figures/support_gain.svg").read_text(encoding="utf-8")
    assert "<script" not in svg


def test_equal_rows_give_equal_bytes(
    run: Path, make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    again = make_run(tmp_path / run.name, make_rows())
    render([again], tmp_path / "out")
    for path in [run / "report.html", *sorted((run / "figures").iterdir())]:
        assert path.read_bytes() == (tmp_path / "out" / path.relative_to(run)).read_bytes(), path


def test_a_report_needs_neither_torch_nor_run_json(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row for row in make_rows({"one": 1}) if row.task == "emotion"]
    folder = make_run(tmp_path / "run", rows, record=False)
    code = (
        "import sys; from pathlib import Path; from probe_bench.reports.html import render; "
        "import probe_bench.reports.terminal; "
        "render([Path(sys.argv[1])], Path(sys.argv[1])); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    text = " ".join(data for _, data in page.text)
    assert "not known" in text
    assert "No modulation analysis was run." in text
    assert rows[0].run_id in text


def test_an_old_or_partial_run_json_is_enough(
    make_rows: Callable[..., Rows], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row for row in make_rows({"one": 1}) if row.task == "modulation"]
    folder = make_run(tmp_path / "run", rows, record=False)
    partial = {"encoders": [{"name": "one"}], "corpora": [{}], "tasks": [{}], "seconds": {}}
    (folder / "run.json").write_text(json.dumps(partial))
    page = Page(render([folder], folder).read_text(encoding="utf-8"))
    assert "No task was measured in this run." in page.words("p")


@pytest.mark.parametrize(("text", "message"), [("{", "not readable JSON"), ("[]", "found list")])
def test_a_damaged_run_json_is_named(
    make_rows: Callable[..., Rows],
    make_run: Callable[..., Path],
    tmp_path: Path,
    text: str,
    message: str,
) -> None:
    folder = make_run(tmp_path / "run", make_rows({"one": 1}), record=False)
    (folder / "run.json").write_text(text)
    with pytest.raises(UserError, match=rf"run\.json: .*{message}"):
        render([folder], folder)
