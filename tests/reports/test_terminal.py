"""The summary on the terminal."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console

from probe_bench.reports.terminal import summary
from probe_bench.rows import Row, read_rows


def printed(table: object, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


def test_the_summary_shows_scores_baselines_and_cutoffs(run: Path) -> None:
    table = read_rows(run / "results.csv")
    text = printed(summary(table))
    best = table[(table["layer"] == "best") & table["metric"].isin(["accuracy", "uar", "map"])]
    for value in best["value"]:
        assert f"{100 * value:.1f}" in text
    assert "out_norm: 5.0 [4.7, 5.4]" in text
    assert "in: > 40" in text


def test_cutoffs_on_several_corpora_have_a_line_each(run: Path) -> None:
    table = read_rows(run / "results.csv")
    there = table[table["task"] == "modulation"].assign(corpus="real")
    lines = printed(summary(pd.concat([table, there])), width=140).splitlines()
    for corpus in ("speech", "real"):
        (line,) = [
            line for line in lines if f"wavjepa on {corpus}" in line and "random" not in line
        ]
        assert "out_norm: 5.0 [4.7, 5.4]" in line


def test_a_corpus_without_cutoffs_has_the_reason_in_their_place(run: Path) -> None:
    table = read_rows(run / "results.csv")
    rows = table["metric"].isin(["support_hz", "emphasis_hz"])
    none = table.assign(value=table["value"].mask(rows), setting="reason=clips are too short")
    text = printed(summary(none))
    assert "No support cutoff on speech: clips are too short" in text
    assert "First layer" not in text


def test_it_fits_80_columns(run: Path) -> None:
    lines = printed(summary(read_rows(run / "results.csv")), width=80).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert any("audio-jepa" in line or "audio-jep" in line for line in lines)


def test_names_from_outside_are_not_markup(
    make_rows: Callable[..., list[Row]], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run(tmp_path / "run", make_rows({"[red]x[/nope]": 4}))
    assert "[red]x[/nope]" in printed(summary(read_rows(folder / "results.csv")), width=120)


def test_rows_of_chance_alone_say_so(
    make_rows: Callable[..., list[Row]], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [replace(row, seed=1) for row in make_rows() if row.role == "chance"]
    folder = make_run(tmp_path / "run", rows)
    assert "No result rows." in printed(summary(read_rows(folder / "results.csv")))
