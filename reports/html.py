"""Runs to one self-contained HTML file and the figures of a paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from probe_bench.folders import make_folder
from probe_bench.reports.canvas import Sheet
from probe_bench.reports.confusions import confusion_maps, read_confusions
from probe_bench.reports.controls import calibration_lines
from probe_bench.reports.figures import task_curves
from probe_bench.reports.following import followed_curves, ripple_maps
from probe_bench.reports.geometry import geometry_curves
from probe_bench.reports.likeness import likeness
from probe_bench.reports.meaning import MEANING, meaning_sheets
from probe_bench.reports.metrics import Score, metric_text
from probe_bench.reports.modulation import spectra
from probe_bench.reports.protocols import ProtocolTable, protocol_tables
from probe_bench.reports.record import FILTERS, Record, hidden_runs_ms, read_record, unlike
from probe_bench.reports.robustness import degradation_curves, robustness_groups
from probe_bench.reports.speed_facts import speed_facts
from probe_bench.reports.speed_figure import cutoff_curves
from probe_bench.reports.speed_wording import speed_line
from probe_bench.reports.style import FEW, house_style
from probe_bench.reports.svg import inline_panels, save_sheet, swatch
from probe_bench.reports.tables import (
    SPEED,
    corpora,
    degraded,
    distinct,
    headline_panels,
    join_comparisons,
    join_runs,
    panels,
    subjects,
)
from probe_bench.reports.timescale import half_rate_curves, half_rate_lines
from probe_bench.reports.views import (
    COLUMNS,
    filters,
    headline_groups,
    speed_groups,
    table_rows,
)
from probe_bench.reports.weights import weight_curves
from probe_bench.reports.wording import findings
from probe_bench.rows import read_beside

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
        folders = dict(zip(table["run"].unique(), runs, strict=True))
        sheets = _sheets(shown, tests, folders, hidden_runs_ms(table, records))
        plates = {role: _plate(sheet, out / "figures") for role, sheet in sheets.items()}
    path = out / "report.html"
    path.write_text(_page(runs, table, tests, shown, records, plates), encoding="utf-8")
    return path


def _records(runs: Sequence[Path], table: pd.DataFrame) -> list[Record]:
    labels = [str(label) for label in table["run"].unique()]
    ids = {label: tuple(rows["run_id"].unique()) for label, rows in table.groupby("run")}
    return [read_record(run, label, ids[label]) for run, label in zip(runs, labels, strict=True)]


def _sheets(
    table: pd.DataFrame,
    tests: pd.DataFrame,
    folders: Mapping[str, Path],
    hidden_ms: Mapping[str, float],
) -> dict[str, Sheet]:
    """Every figure that the rows give, by its role in the page."""
    main = headline_panels(table)
    others = [panel for panel in panels(table) if panel not in main]
    drawn = {
        "tasks": task_curves(table, main, "tasks_by_layer", tests=tests),
        "measures": task_curves(
            table, others, "other_measures_by_layer", tests=tests, by_probe=True
        ),
        **meaning_sheets(table, tests),
        "weights": weight_curves(table, "layer_weights"),
        "confusions": confusion_maps(read_confusions(folders, table), "confusions"),
        "cutoff": cutoff_curves(table, "support_cutoff_by_layer", hidden_ms),
        "gain": spectra(table, "support_gain", "support_gain"),
        "emphasis": spectra(table, "emphasis_gain", "emphasis_gain"),
        "followed": followed_curves(table, "followed_by_layer"),
        "ripples": ripple_maps(table, "joint_support"),
        "speed": spectra(table, "speed_psd", "output_speed"),
        "geometry": geometry_curves(table, "geometry_by_layer"),
        "likeness": likeness(table, "cka_between_layers"),
        "timescale": half_rate_curves(table, "half_rate_by_layer"),
        "smoothing": degradation_curves(table, "score_by_modulation_cutoff", modulations=True),
        "robustness": degradation_curves(table, "score_by_severity"),
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
    runs: Sequence[Path],
    table: pd.DataFrame,
    tests: pd.DataFrame,
    shown: pd.DataFrame,
    records: Sequence[Record],
    plates: Mapping[str, Plate],
) -> str:
    names = subjects(table)
    rows, n_points = table_rows(shown)
    headlines = headline_groups(table, tests) + speed_groups(table)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=f"probe-bench: {', '.join(names)}" if names else "probe-bench",
            css=_asset("report.css"),
            script=_asset("report.js"),
            heard=_heard(names),
            corpora=_corpora(table, records),
            n_subjects=len(names),
            few=len(names) <= FEW,
            findings=findings(table, tests),
            headlines=headlines,
            mixed=any(line.mixed for group in headlines for line in group.lines),
            tested=not tests.empty,
            speeds=[speed_line(facts) for facts in speed_facts(table)],
            calibration=calibration_lines(table),
            spans=hidden_runs_ms(table, records),
            half_rates=half_rate_lines(table),
            robustness=robustness_groups(table, tests),
            protocols=_protocols(shown, records, runs),
            n_degraded=int(degraded(shown).sum()),
            sheets=plates,
            speed=any(role in plates for role in ("cutoff", "gain", "speed")),
            meaning=any(role in plates for role in MEANING),
            geometry=any(role in plates for role in ("geometry", "likeness")),
            headings=[(column.label, column.classes) for column in COLUMNS],
            filters=filters(rows),
            rows=rows,
            n_points=n_points,
            records=records,
            unlike=unlike(records),
        )
    )


def _heard(names: Sequence[str]) -> str:
    """Subject and verb of the page's heading."""
    if 1 <= len(names) <= 2:
        return f"{' and '.join(names)} {'hears' if len(names) == 1 else 'hear'}"
    return "these encoders hear" if names else "was heard"


def _protocols(
    table: pd.DataFrame, records: Sequence[Record], runs: Sequence[Path]
) -> list[ProtocolTable]:
    """Scores by the published protocols that the records name, each of them once."""
    told = {str(p.get("name")): p for r in records for p in r.content.get("protocols", ())}
    published = pd.concat([read_beside(run / "published.csv") for run in runs])
    return protocol_tables(table, published.drop_duplicates(), list(told.values()))


def _corpora(table: pd.DataFrame, records: Sequence[Record]) -> list[Mapping[str, Any]]:
    """What was heard: every corpus of the rows, with its size where a record has it."""
    sizes = {str(c.get("name")): c for r in records for c in r.content.get("corpora", ())}
    return [{"name": name, **sizes.get(name, {})} for name in corpora(table)]


def _hz(cutoff: Score) -> str:
    text = metric_text(SPEED)
    return f"{text.number(cutoff)}\u202f{text.unit}"


def _environment() -> jinja2.Environment:
    """Templates that escape everything and stand missing parts of a `run.json`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("probe_bench.reports", "templates"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS, hz=_hz)
    return environment


def _asset(name: str) -> Markup:
    """Text of our own that stands in the page as it is."""
    text = (files("probe_bench.reports") / "templates" / name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  from the package, never from outside
