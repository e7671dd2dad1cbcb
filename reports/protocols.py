"""Scores by published protocols: variants side by side, and what others print for the same data."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from probe_bench.reports.metrics import MetricText, Score, metric_text
from probe_bench.reports.tables import BEST, score_of

__all__ = ["ProtocolLine", "ProtocolTable", "protocol_tables"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolLine:
    """One encoder.

    Attributes:
        name: Encoder.
        role: As in the rows.
        scores: Value and interval by each variant, empty where it has none.
        published: What its authors' protocol printed for the same weights and data; empty if nothing.
        agrees: Whether ours is within the tolerance of that; None without one.
    """

    name: str
    role: str
    scores: list[tuple[str, str]]
    published: str
    agrees: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtocolTable:
    """All encoders by one protocol on one task.

    Attributes:
        protocol: What the record says of it: `name`, `summary`, `source`, `faults`, `departures`.
        task: Task.
        corpus: Corpus.
        metric: Axis text of the metric.
        variants: In the order of the columns.
        lines: Encoders under test first.
        neighbours: Other encoders on the same data set, as published, best first.
    """

    protocol: Mapping[str, Any]
    task: str
    corpus: str
    metric: str
    variants: list[str]
    lines: list[ProtocolLine]
    neighbours: list[tuple[str, str]]


def protocol_tables(
    table: pd.DataFrame, published: pd.DataFrame, protocols: Sequence[Mapping[str, Any]]
) -> list[ProtocolTable]:
    """Return a table for every protocol, task and corpus, by the task's first metric.

    Args:
        table: Rows with display names.
        published: Lines of `published.csv`.
        protocols: What `run.json` says of the protocols.
    """
    rows = table[(table["layer"] == BEST) & (table["split"] == "test")]
    found = []
    for protocol in protocols:
        name = str(protocol.get("name", ""))
        own = rows[(rows["probe"] == name) | rows["probe"].str.startswith(f"{name}-")]
        for (task, corpus), part in own.groupby(["task", "corpus"], sort=False):
            theirs = published[(published["task"] == task) & (published["corpus"] == corpus)]
            found.append(_table(protocol, str(task), str(corpus), part, theirs))
    return found


def _table(
    protocol: Mapping[str, Any],
    task: str,
    corpus: str,
    rows: pd.DataFrame,
    published: pd.DataFrame,
) -> ProtocolTable:
    metric = str(rows["metric"].iloc[0])
    rows = rows[rows["metric"] == metric]
    variants = [str(probe) for probe in rows["probe"].unique()]
    theirs = published[published["protocol"].isin(variants) & (published["metric"] == metric)]
    subjects_first = rows.sort_values("role", key=lambda role: role != "subject", kind="stable")
    text = metric_text(metric)
    others = theirs[theirs["encoder"] == ""].sort_values(
        "published", ascending=text.lower_is_better
    )
    return ProtocolTable(
        protocol=protocol,
        task=task,
        corpus=corpus,
        metric=text.axis,
        variants=variants,
        lines=[
            _line(str(name), part, variants, theirs, text)
            for name, part in subjects_first.groupby("name", sort=False)
        ],
        neighbours=[
            (f"{line['published_encoder']} ({line['protocol']})", _printed(line, text))
            for line in others.to_dict("records")
        ],
    )


def _line(
    name: str,
    rows: pd.DataFrame,
    variants: Sequence[str],
    published: pd.DataFrame,
    text: MetricText,
) -> ProtocolLine:
    scores = {str(row["probe"]): score_of(row) for row in rows.to_dict("records")}
    own = published[published["encoder"] == str(rows["encoder"].iloc[0])]
    said = [
        f"{_printed(line, text)} ± {line['tolerance'] * text.scale:g} "
        f"({line['published_encoder']}, {line['source']})"
        for line in own.to_dict("records")
    ]
    return ProtocolLine(
        name=name,
        role=str(rows["role"].iloc[0]),
        scores=[
            (text.number(scores[v]), text.interval(scores[v])) if v in scores else ("", "")
            for v in variants
        ],
        published="; ".join(said),
        agrees=bool(own["agrees"].all()) if said else None,
    )


def _printed(line: Mapping[Hashable, Any], text: MetricText) -> str:
    """Write a published number."""
    return text.number(Score(value=float(line["published"])))
