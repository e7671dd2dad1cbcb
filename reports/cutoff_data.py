"""The tables of a cutoff study as its figure and its report need them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from probe_bench.errors import UserError
from probe_bench.reports.layers import last_block

__all__ = [
    "CUTOFFS",
    "HALF_SPAN_LAW",
    "TASKS",
    "StudyTables",
    "of_layer",
    "read_study",
]

CUTOFFS = {
    "support_hz": "support",
    "emphasis_hz": "emphasis",
    "support_phones_hz": "support of phones",
}
"""Cutoffs by their name in the tables, as they are called in text."""

TASKS = ("speaker", "phoneme")

BASE, PATCHES, UNTRAINED = "JEPA", "MAE", "untrained"
"""Groups of arms that every study has."""
HALF_SPAN_LAW = "1 / (2 T)"


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyTables:
    """What `study` wrote of one study.

    Attributes:
        name: Of the study.
        rows: Everything measured.
        gaps: Realised hidden stretches.
        contrasts: Arms against the base; None where the knob is the mask span.
        lines: Slopes over mask span; None for studies of another knob.
        scores: Change of accuracies for each doubling of the span; None likewise.
        curves: R² by frequency across gaps of every span; None likewise.
        rivals: How far three models miss left-out spans; None likewise.
    """

    name: str
    rows: pd.DataFrame
    gaps: pd.DataFrame
    contrasts: pd.DataFrame | None
    lines: pd.DataFrame | None
    scores: pd.DataFrame | None
    curves: pd.DataFrame | None
    rivals: pd.DataFrame | None

    @property
    def layer(self) -> str:
        """The last block, which the predictor reads."""
        return last_block(self.rows["layer"].dropna().unique())

    @property
    def arms(self) -> list[str]:
        """Arms in the order of the plan."""
        return [str(arm) for arm in self.rows["arm"].unique()]

    @property
    def is_of_spans(self) -> bool:
        """Whether the knob is the mask span."""
        return self.lines is not None


def read_study(folder: Path, name: str) -> StudyTables:
    """Read the tables of a study.

    Raises:
        UserError: If the folder has none of that study.
    """
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"{path}: not there; expected in a folder that `study {name}` wrote")

    def further(what: str) -> pd.DataFrame | None:
        table = folder / f"{name}-{what}.csv"
        return pd.read_csv(table) if table.is_file() else None

    gaps = further("gaps")
    if gaps is None:
        raise UserError(f"{folder}/{name}-gaps.csv: not there; do the study again")
    text = dict.fromkeys(("bound", "reason"), "")
    return StudyTables(
        name=name,
        rows=pd.read_csv(path).fillna(text),
        gaps=gaps,
        contrasts=further("contrasts"),
        lines=further("lines"),
        scores=further("scores"),
        curves=further("predictability"),
        rivals=further("rivals"),
    )


def of_layer(rows: pd.DataFrame, task: str, metric: str, layer: str) -> pd.DataFrame:
    """Rows of one metric at one layer that have a number."""
    mine = rows[(rows["task"] == task) & (rows["metric"] == metric) & (rows["layer"] == layer)]
    return mine.dropna(subset=["value"])
