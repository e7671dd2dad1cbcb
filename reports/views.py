"""What the page's two tables show: cells as text with the keys they are sorted by."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from probe_bench.reports.metrics import (
    MetricText,
    Score,
    is_curve,
    is_diagnostic,
    metric_text,
    thousands,
)
from probe_bench.reports.tables import (
    ANALYSIS,
    BEST,
    EMPHASIS,
    PAIRS,
    SPECTRA,
    SPEED,
    Headline,
    corpora,
    degraded,
    headlines,
    layer_rows,
    logmel_rows,
    score_of,
    subjects,
    twin_name,
)
from probe_bench.reports.wording import BASELINES, SIGNS, Verdict, verdict_on

__all__ = [
    "COLUMNS",
    "Cell",
    "Column",
    "Filter",
    "HeadlineGroup",
    "TableRow",
    "counted",
    "filters",
    "headline_groups",
    "speed_groups",
    "table_rows",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of the table of all numbers."""

    label: str
    classes: str = ""
    filtered: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell; `key` is what it is sorted by, where that is not its text."""

    text: str
    classes: str = ""
    key: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """One row of the table of all numbers."""

    cells: list[Cell]
    picked: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """One choice above the table."""

    label: str
    column: int
    choices: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """A baseline beside a headline."""

    label: str
    value: str
    interval: str
    verdict: str
    sign: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadlineLine:
    """One encoder's result on one task.

    `mixed` says that only most folds picked this layer; `alike` are the layers that cannot be told
    from the picked one; `among_best` if no other encoder was found better, by tests.
    """

    name: str
    layer: str
    mixed: bool
    alike: tuple[str, ...]
    value: str
    interval: str
    baselines: list[Baseline | None]
    among_best: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadlineGroup:
    """All encoders on one task."""

    task: str
    corpus: str
    probe: str
    metric: str
    n: str
    lines: list[HeadlineLine]


SPEEDS = {SPEED: ("how fast", "linear readout"), EMPHASIS: ("emphasis", "ripples")}
"""Task and probe of each cutoff in the summary."""

COLUMNS = (
    Column(label="Task", filtered=True),
    Column(label="Metric", classes="wrap", filtered=True),
    Column(label="Encoder", filtered=True),
    Column(label="Layer"),
    Column(label="Value", classes="number"),
    Column(label="Interval", classes="number"),
    Column(label="Corpus", classes="minor", filtered=True),
    Column(label="Probe", classes="minor"),
    Column(label="Setting", classes="minor"),
    Column(label="Part", classes="minor"),
    Column(label="Units", classes="number minor"),
    Column(label="Groups", classes="number minor"),
    Column(label="Dim", classes="number minor"),
    Column(label="Frames/s", classes="number minor"),
    Column(label="Role", classes="minor", filtered=True),
)


def headline_groups(table: pd.DataFrame, tests: pd.DataFrame | None = None) -> list[HeadlineGroup]:
    """Headlines by task, as the summary shows them."""
    groups: dict[tuple[str, str], list[Headline]] = {}
    for headline in headlines(table, tests):
        groups.setdefault((headline.panel.task, headline.panel.corpus), []).append(headline)
    return [
        HeadlineGroup(
            task=task,
            corpus=corpus,
            probe=found[0].panel.probe,
            metric=metric_text(found[0].panel.metric).axis,
            n=counted(found[0].n, found[0].n_groups),
            lines=[_line(headline, alone=len(found) == 1) for headline in found],
        )
        for (task, corpus), found in groups.items()
    ]


def speed_groups(table: pd.DataFrame) -> list[HeadlineGroup]:
    """Cutoffs of the last layers by corpus, beside those of twin and log-mel: support, then emphasis."""
    rows = table[table["task"] == ANALYSIS]
    return [
        group
        for corpus in corpora(rows[rows["metric"] == SPEED])
        for metric, (task, probe) in SPEEDS.items()
        for group in _speed_group(
            rows[(rows["corpus"] == corpus) & (rows["metric"] == metric)], task, probe
        )
    ]


def _speed_group(rows: pd.DataFrame, task: str, probe: str) -> list[HeadlineGroup]:
    """Lines of one metric on one corpus as a group; none if no layer could be measured."""
    lines = [line for name in subjects(rows) for line in _speed_lines(rows, name)]
    counts = rows.loc[rows["role"] == "subject", ["n", "n_groups", "corpus", "metric"]].iloc[:1]
    return [
        HeadlineGroup(
            task=task,
            corpus=str(corpus),
            probe=probe,
            metric=metric_text(str(metric)).axis,
            n=counted(int(n), int(n_groups)),
            lines=lines,
        )
        for n, n_groups, corpus, metric in counts.itertuples(index=False, name=None)
        if lines
    ]


def _speed_lines(rows: pd.DataFrame, name: str) -> list[HeadlineLine]:
    """One encoder's cutoff at its last layer that could be measured; none if no layer could."""
    mine = layer_rows(rows, name).dropna(subset=["value"]).tail(1)
    twin, beside = twin_name(rows, name), logmel_rows(rows, name)
    same = layer_rows(rows, twin or "")
    others = {"random": same[same["layer"].isin(mine["layer"])], "logmel": beside}
    text = metric_text(SPEED)
    return [
        HeadlineLine(
            name=name,
            layer=str(row["layer"]),
            mixed=False,
            alike=(),
            value=text.number(score_of(row)),
            interval=text.interval(score_of(row)),
            baselines=[
                _shown(score_of(others[role].iloc[0]), role, text)
                if role in others and len(others[role])
                else None
                for role in BASELINES
            ],
            among_best=False,
        )
        for _, row in mine.iterrows()
    ]


def _line(headline: Headline, *, alone: bool) -> HeadlineLine:
    text = metric_text(headline.panel.metric)
    return HeadlineLine(
        name=headline.name,
        layer=headline.layer,
        alike=tuple(layer for layer in headline.told.alike if layer != headline.layer),
        mixed=headline.mixed,
        value=text.number(headline.score),
        interval=text.interval(headline.score),
        baselines=[_baseline(headline, role, text) for role in BASELINES],
        among_best=alone if headline.told.among_best is None else headline.told.among_best,
    )


def _baseline(headline: Headline, role: str, text: MetricText) -> Baseline | None:
    score = headline.baselines.get(role)
    if score is None:
        return None
    return _shown(score, role, text, headline.name, verdict_on(headline, role))


def _shown(
    score: Score, role: str, text: MetricText, name: str = "", found: Verdict | None = None
) -> Baseline:
    label = BASELINES[role]
    return Baseline(
        label=label,
        value=text.number(score),
        interval=text.interval(score),
        verdict=f"{name} {found} {label}" if found else "",
        sign=SIGNS[found] if found else "",
    )


def counted(n: int, n_groups: int) -> str:
    """Write how many units were scored, and how many of them are independent."""
    return f"n = {thousands(n)} in {thousands(n_groups)} groups" if n else ""


def table_rows(table: pd.DataFrame) -> tuple[list[TableRow], int]:
    """Return all rows but points of spectra and curves and pairs of layers, and how many of those there are.

    The row of the layer `best` repeats the picked layer, so it shows only if that is not there; what
    was read from degraded audio stands in a table of its own.
    """
    table = table[~degraded(table)]
    points = table["metric"].isin(SPECTRA + PAIRS) | table["metric"].map(is_curve).astype(bool)
    picked = table[table["chosen"] & (table["layer"] != BEST)]
    keys = ["run", "name", "corpus", "task", "probe", "split", "metric", "value"]
    known = set(picked[keys].itertuples(index=False, name=None))
    shown = []
    for record in table[~points].to_dict("records"):
        repeated = record["layer"] == BEST and tuple(record[key] for key in keys) in known
        if not repeated:
            shown.append(_table_row(record))
    return shown, int(points.sum())


def _table_row(record: Mapping[Hashable, Any]) -> TableRow:
    score, text = score_of(record), metric_text(str(record["metric"]))
    unit = f" {text.unit}" if text.unit and score.measured else ""
    cells = [
        Cell(text=str(record["task"])),
        Cell(text=_measured(str(record["metric"]), text), classes="wrap"),
        Cell(text=str(record["name"])),
        Cell(text=str(record["layer"]), key=_key(record["depth"])),
        Cell(text=text.number(score) + unit, classes="number", key=_key(score.value)),
        Cell(text=text.interval(score), classes="number", key=_key(score.low)),
        Cell(text=str(record["corpus"]), classes="minor"),
        Cell(text=str(record["probe"]), classes="minor"),
        Cell(text=str(record["setting"]), classes="minor"),
        Cell(text=str(record["split"]), classes="minor"),
        *(_count(record[name]) for name in ("n", "n_groups", "dim", "frame_rate_hz")),
        Cell(text=str(record["role"]), classes="minor"),
    ]
    return TableRow(cells=cells, picked=bool(record["chosen"]) and record["role"] == "subject")


def _measured(metric: str, text: MetricText) -> str:
    """Name a metric in the table: what tells what a score means by its whole name."""
    return text.label if is_diagnostic(metric) else text.short or text.label


def filters(rows: Sequence[TableRow]) -> list[Filter]:
    """Choices of the columns that are worth filtering by."""
    found = []
    for index, column in enumerate(COLUMNS):
        if column.filtered:
            choices = list(dict.fromkeys(row.cells[index].text for row in rows))
            found.append(Filter(label=column.label, column=index, choices=choices))
    return found


def _count(number: Any) -> Cell:
    text = f"{number:.6g}" if math.isfinite(number) else ""
    return Cell(text=text, classes="number minor", key=_key(float(number)))


def _key(number: float) -> str:
    return f"{number:.9g}" if math.isfinite(number) else ""
