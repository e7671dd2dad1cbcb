"""Runs to one self-contained HTML file and the figures of a paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from probe_bench.folders import make_folder
from probe_bench.reports.canvas import Sheet
from probe_bench.reports.figures import task_curves
from probe_bench.reports.meaning import MEANING, meaning_sheets
from probe_bench.reports.modulation import cutoff_curves, spectra
from probe_bench.reports.record import FILTERS, Record, read_record
from probe_bench.reports.style import FEW, house_style
from probe_bench.reports.svg import inline_panels, save_sheet, swatch
from probe_bench.reports.tables import (
    distinct,
    headline_panels,
    join_comparisons,
    join_runs,
    panels,
    subjects,
)
from probe_bench.reports.views import COLUMNS, filters, headline_groups, table_rows
from probe_bench.reports.wording import findings

__all__ = ["render"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plate:
    """A sheet as the page shows it: panels and legend entries as inline SVG."""

    name: str
    panels: list[Markup]
    legend: list[tuple[Markup, str]]


def render(runs: Sequence[Path], out: Path) -> Path:
    """Write `report.html` and `figures/*.svg|png|pdf` from the rows of one or several runs.

    Equal rows and records give equal bytes.

    Args:
        runs: Folders that hold a `results.csv` and, if known, a `run.json`.
        out: Folder to write to; made if it is not there.

    Returns:
        Path of `report.html`.

    Raises:
        UserError: If a file cannot be read or lacks what it must have.
    """
    table, tests = join_runs(runs), join_comparisons(runs)
    records = _records(runs, table)
    shown = distinct(table)
    make_folder(out)
    with house_style():
        sheets = _sheets(shown, tests)
        plates = {role: _plate(sheet, out / "figures") for role, sheet in sheets.items()}
    path = out / "report.html"
    path.write_text(_page(table, tests, shown, records, plates), encoding="utf-8")
    return path


def _records(runs: Sequence[Path], table: pd.DataFrame) -> list[Record]:
    labels = [str(label) for label in table["run"].unique()]
    ids = {label: tuple(rows["run_id"].unique()) for label, rows in table.groupby("run")}
    return [read_record(run, label, ids[label]) for run, label in zip(runs, labels, strict=True)]


def _sheets(table: pd.DataFrame, tests: pd.DataFrame) -> dict[str, Sheet]:
    """Every figure that the rows give, by its role in the page."""
    main = headline_panels(table)
    others = [panel for panel in panels(table) if panel not in main]
    drawn = {
        "tasks": task_curves(table, main, "tasks_by_layer", tests=tests),
        "measures": task_curves(
            table, others, "other_measures_by_layer", tests=tests, by_probe=True
        ),
        **meaning_sheets(table, tests),
        "cutoff": cutoff_curves(table, "support_cutoff_by_layer"),
        "gain": spectra(table, "support_gain", "support_gain"),
        "speed": spectra(table, "speed_psd", "output_speed"),
    }
    return {role: sheet for role, sheet in drawn.items() if sheet is not None}


def _plate(sheet: Sheet, folder: Path) -> Plate:
    svg = save_sheet(sheet, folder)
    return Plate(
        name=sheet.name,
        panels=[Markup(panel) for panel in inline_panels(svg, sheet)],  # noqa: S704  ET escaped it
        legend=[(Markup(swatch(entry.look)), entry.label) for entry in sheet.legend],  # noqa: S704
    )


def _page(
    table: pd.DataFrame,
    tests: pd.DataFrame,
    shown: pd.DataFrame,
    records: Sequence[Record],
    plates: Mapping[str, Plate],
) -> str:
    names = subjects(table)
    rows, n_points = table_rows(shown)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=f"probe-bench: {', '.join(names)}" if names else "probe-bench",
            css=_asset("report.css"),
            script=_asset("report.js"),
            n_subjects=len(names),
            few=len(names) <= FEW,
            findings=findings(table, tests),
            headlines=headline_groups(table, tests),
            tested=not tests.empty,
            sheets=plates,
            meaning=any(role in plates for role in MEANING),
            columns=COLUMNS,
            filters=filters(rows),
            rows=rows,
            n_points=n_points,
            records=records,
        )
    )


def _environment() -> jinja2.Environment:
    """Templates that escape everything and stand missing parts of a `run.json`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("probe_bench.reports", "templates"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _asset(name: str) -> Markup:
    """Text of our own that stands in the page as it is."""
    text = (files("probe_bench.reports") / "templates" / name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  from the package, never from outside
