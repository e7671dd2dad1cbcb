"""The summary that a run ends with on the terminal."""

from collections.abc import Iterator, Sequence

import pandas as pd
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from probe_bench.reports.comparisons import basis
from probe_bench.reports.metrics import metric_text
from probe_bench.reports.settings import setting_text
from probe_bench.reports.tables import ANALYSIS, GEOMETRY, SPEED, name_series, subjects
from probe_bench.reports.timescale import half_rate_lines
from probe_bench.reports.views import Baseline, HeadlineGroup, headline_groups
from probe_bench.reports.wording import Cutoffs, cutoffs

__all__ = ["legend", "summary"]

COLOURS = {"▲": "green", "≈": "yellow", "▼": "red"}
NONE = "\N{EN DASH}"
NOTHING = Cutoffs(corpus="", support=(), emphasis=None)


def legend(tests: pd.DataFrame | None) -> str:
    """Explain the signs."""
    return f"▲ beats  ≈ cannot be told from  ▼ is below ({basis(tests)})"


def summary(table: pd.DataFrame, tests: pd.DataFrame | None = None) -> Group:
    """Lay out the headline of every encoder and task, the span of support cutoffs, and task timescales.

    Args:
        table: Rows as `read_rows` gives them.
        tests: Paired tests as `read_comparisons` gives them.

    Returns:
        Something rich can print; names from outside are never read as markup.
    """
    table = name_series(table)
    parts: list[Table | Text] = []
    groups = headline_groups(table, tests)
    if groups:
        parts += [_scores(groups), Text(legend(tests), style="dim")]
        if any(line.mixed for group in groups for line in group.lines):
            parts.append(
                Text("* picked in most folds; the score is of each fold's own", style="dim")
            )
    if (table["task"] == ANALYSIS).any():
        if any(cutoffs(table, name) for name in subjects(table)):
            parts.append(_cutoffs(table))
        parts += [
            Text(f"No support cutoff on {corpus}: {why}") for corpus, why in _unmeasured(table)
        ]
    parts += [Text(line) for line in half_rate_lines(table)]
    if (table["task"] == GEOMETRY).any() and not parts:
        parts.append(Text("No scores: geometry alone was measured, see the report."))
    return Group(*(parts or [Text("No result rows.")]))


def _scores(groups: Sequence[HeadlineGroup]) -> Table:
    """One line an encoder and task."""
    grid = Table(
        title="Test score at the layer picked on validation data",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in ("Task", "Encoder", "Layer"):
        grid.add_column(heading, overflow="fold")
    for heading in ("Score [95 %]", "Twin", "Log-mel", "Chance"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for group in groups:
        for index, line in enumerate(group.lines):
            labels = _labels(group, index)
            grid.add_row(
                Text(labels),
                Text(line.name),
                Text(f"{line.layer}*" if line.mixed else line.layer),
                Text.assemble((line.value, "bold" if line.among_best else ""), f" {line.interval}"),
                *(_baseline(cell) for cell in line.baselines),
                end_section=index == len(group.lines) - 1,
            )
    return grid


def _labels(group: HeadlineGroup, index: int) -> str:
    """Spread task, metric and corpus over the lines of a group; the last line takes what is left."""
    labels = [group.task, group.metric, group.corpus]
    last = index == len(group.lines) - 1
    return "\n".join(labels[index:] if last else labels[index : index + 1])


def _baseline(cell: Baseline | None) -> Text:
    if cell is None:
        return Text(NONE, style="dim")
    return Text.assemble((cell.sign, COLOURS.get(cell.sign, "")), " ", cell.value)


def _cutoffs(table: pd.DataFrame) -> Table:
    """Support cutoffs of the first and the last layer of every encoder, and the last one's emphasis."""
    text = metric_text(SPEED)
    grid = Table(
        title="Support cutoff (Hz): how fast a layer can follow",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading in ("Encoder", "First layer", "Last layer", "Emphasis"):
        grid.add_column(heading)
    controls = table.loc[table["role"] == "logmel", "name"].unique()
    for name in [*subjects(table), *(str(control) for control in controls)]:
        for found in cutoffs(table, name) or [NOTHING]:
            ends = [
                f"{layer}: {text.number(s)} {text.interval(s)}".rstrip()
                for layer, s in found.support
            ]
            emphasis = text.number(found.emphasis) if found.emphasis else NONE
            where = f"{name} on {found.corpus}" if found.corpus else name
            cells = [where, *[*ends, NONE, NONE][:2], emphasis]
            grid.add_row(*(Text(cell) for cell in cells))
    return grid


def _unmeasured(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Corpora on which no layer of any encoder has a cutoff, and why."""
    rows = table[(table["task"] == ANALYSIS) & (table["metric"] == SPEED)]
    for corpus, here in rows.groupby("corpus", sort=False):
        if here["value"].isna().all():
            reason = setting_text(str(here["setting"].iloc[0]), "reason")
            yield str(corpus), reason or "no layer could be measured"
