"""The report in a real browser: no errors, nothing fetched, no sideways scrolling, sorting works."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from probe_bench.reports.html import render
from probe_bench.rows import Row

from .test_geometry import geometry_rows
from .test_meaning import diagnosed
from .test_robustness import degraded_rows

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=4000",
)  # fmt: skip

# Runs inside the page and hands what it found to the page around it.
PROBE = """
<script>
addEventListener("load", () => {
  const first = (column) => [...document.querySelectorAll("#rows tbody tr")]
    .filter((row) => !row.hidden).map((row) => row.cells[column].dataset.key);
  const header = document.querySelectorAll("#rows thead button")[4];
  const root = document.documentElement;
  const found = { width: root.clientWidth, scroll: root.scrollWidth,
    fetched: performance.getEntriesByType("resource").length, before: first(4) };
  const figures = [...document.querySelectorAll("figure svg")];
  const name = (svg) => svg.getAttribute("aria-labelledby").split(" ")
    .map((id) => document.getElementById(id).textContent.trim());
  found.figures = figures.length;
  found.nameless = figures.filter((svg) => name(svg).some((text) => !text)).length;
  const shown = () => figures.filter((svg) => svg.checkVisibility()).length;
  found.folded = figures.length - shown();
  dispatchEvent(new Event("beforeprint"));
  found.printed = shown();
  found.open = root.scrollWidth;
  const outside = (svg) => {
    const sheet = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].filter((text) => {
      const box = text.getBoundingClientRect();
      return box.left < sheet.left - 1 || box.right > sheet.right + 1
        || box.top < sheet.top - 1 || box.bottom > sheet.bottom + 1;
    }).map((text) => `${name(svg)[0]}: ${text.textContent}`);
  };
  found.clipped = figures.flatMap(outside);
  dispatchEvent(new Event("afterprint"));
  found.closed = figures.length - shown();
  document.querySelector("#table details").open = true;
  header.click();
  found.rising = first(4);
  found.direction = header.parentElement.getAttribute("aria-sort");
  header.click();
  found.falling = first(4);
  const select = document.querySelector("#filters select[data-column='2']");
  select.value = "wavjepa";
  document.getElementById("picked").checked = true;
  select.dispatchEvent(new Event("input", { bubbles: true }));
  found.filtered = [...document.querySelectorAll("#rows tbody tr")]
    .filter((row) => !row.hidden).map((row) => row.cells[2].textContent);
  found.count = document.getElementById("count").textContent;
  parent.postMessage(JSON.stringify(found), "*");
});
</script>
"""
FRAME = """<!doctype html><body style="margin:0">
<iframe src="probed.html" style="border:0;width:{width}px;height:3000px"></iframe>
<script>addEventListener("message", (event) => {{ document.body.dataset.found = event.data; }});
</script></body>"""


@pytest.fixture(scope="session")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[str, list[str]]]:
    """`browse(page, *flags)` opens a page; returns its DOM and what the console said."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        reason = f"no browser on PATH ({', '.join(BROWSERS)})"
        if os.environ.get("CI") == "true" or os.environ.get("PROBE_BENCH_REQUIRE_BROWSER"):
            pytest.fail(f"{reason}, and CI or PROBE_BENCH_REQUIRE_BROWSER asks for one")
        print(f"browser tests skipped: {reason}")
        pytest.skip(reason)

    def run(page: Path, *flags: str) -> tuple[str, list[str]]:
        profile = tmp_path_factory.mktemp("profile")
        command = [browser, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def found_at(
    browse: Callable[..., tuple[str, list[str]]], run: Path, folder: Path, width: int
) -> tuple[dict[str, Any], list[str]]:
    """Open the report in a frame of some width with the probe inside."""
    report = (run / "report.html").read_text(encoding="utf-8")
    (folder / "probed.html").write_text(report.replace("</body>", f"{PROBE}</body>"), "utf-8")
    (folder / "frame.html").write_text(FRAME.format(width=width), "utf-8")
    dom, console = browse(folder / "frame.html", "--dump-dom", "--window-size=1400,3000")
    found = re.search(r'data-found="([^"]*)"', dom)
    assert found, "the page never reported"
    return json.loads(unescape(found[1])), console


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_works_at_phone_and_desktop_width(
    browse: Callable[..., tuple[str, list[str]]], run: Path, tmp_path: Path, width: int
) -> None:
    found, console = found_at(browse, run, tmp_path, width)
    assert console == []
    assert found["width"] == width
    assert found["scroll"] <= width
    assert found["fetched"] == 0
    numbers = [float(key) for key in found["before"] if key]
    missing = [key for key in found["before"] if not key]
    assert missing
    assert found["direction"] == "ascending"
    assert [float(key) for key in found["rising"] if key] == sorted(numbers)
    assert [float(key) for key in found["falling"] if key] == sorted(numbers, reverse=True)
    for order in ("rising", "falling"):
        assert found[order][-len(missing) :] == missing
    assert found["filtered"] == ["wavjepa"] * 7
    assert found["count"].startswith("7 of ")


@pytest.mark.parametrize("width", [390, 1280])
def test_figures_speak_keep_their_text_inside_and_are_all_printed(
    browse: Callable[..., tuple[str, list[str]]],
    make_rows: Callable[..., list[Row]],
    make_run: Callable[..., Path],
    tmp_path: Path,
    width: int,
) -> None:
    rows = make_rows({"a-name-as-long-as-a-checkpoint-has": 12, "wavjepa": 4})
    rows += diagnosed(rows) + degraded_rows(rows)
    rows += geometry_rows(("wavjepa", "random:wavjepa"), rows[0])
    folder = make_run(tmp_path / "run", rows)
    render([folder], folder)
    found, console = found_at(browse, folder, tmp_path, width)
    assert console == []
    assert found["figures"] >= 40
    assert found["nameless"] == 0
    assert found["clipped"] == []
    assert found["open"] <= width
    assert found["folded"] == found["closed"] > 20
    assert found["printed"] == found["figures"]


def test_console_errors_and_wide_content_would_be_noticed(
    browse: Callable[..., tuple[str, list[str]]], run: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    report = (run / "report.html").read_text(encoding="utf-8")
    wide = '<div style="width:600px">x</div><script>nothing.here()</script></main>'
    (broken / "report.html").write_text(report.replace("</main>", wide), "utf-8")
    found, console = found_at(browse, broken, tmp_path, 390)
    assert found["scroll"] > 390
    assert any("nothing is not defined" in line for line in console)


def test_a_hostile_name_runs_nothing(
    browse: Callable[..., tuple[str, list[str]]],
    make_rows: Callable[..., Any],
    make_run: Callable[..., Path],
    tmp_path: Path,
) -> None:
    name = "<script>document.title='owned';console.log('owned')</script>"
    rows = [row for row in make_rows({name: 1}) if row.task == "emotion"]
    folder = make_run(tmp_path / "run", rows)
    dom, console = browse(render([folder], folder), "--dump-dom")
    assert console == []
    assert "<title>owned" not in dom


@pytest.mark.parametrize("width", [600, 1280])
def test_the_page_paints(
    browse: Callable[..., tuple[str, list[str]]], run: Path, tmp_path: Path, width: int
) -> None:
    shot = tmp_path / "shot.png"
    browse(run / "report.html", f"--screenshot={shot}", f"--window-size={width},3000")
    pixels = imread(shot)[..., :3]
    assert pixels.shape[:2] == (3000, width)
    blue = np.abs(pixels - np.array([0x00, 0x72, 0xB2]) / 255).max(axis=-1) < 0.02
    assert blue.sum() > 50, "the first encoder's curve is not to be seen"
