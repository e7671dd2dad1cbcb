"""What is taken for what: heatmaps of the pairs that a run counted at its picked layers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from probe_bench.errors import UserError
from probe_bench.reports.canvas import Cell, Sheet, new_sheet, shorten, write_title
from probe_bench.reports.heatmap import PLOT_IN, draw_heatmap, name_cells, scale_entries
from probe_bench.reports.style import FEW
from probe_bench.reports.tables import Panel, panels, subjects
from probe_bench.rows import file_name

__all__ = ["Confusions", "confusion_maps", "read_confusions"]

_MOST_LABELS = 30
_LEAST_SHOWN = 0.5  # of all units; a picture of less would mislead
_FEWEST_UNITS = 10  # of a label on average; shares of fewer are chance
_DELETED, _INSERTED = "deleted", "inserted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusions:
    """The counted pairs of one encoder in one panel.

    Attributes:
        name: Encoder as displayed.
        panel: What was measured.
        pairs: Columns `reference`, `hypothesis`, `count`; empty: inserted, deleted.
    """

    name: str
    panel: Panel
    pairs: pd.DataFrame


def read_confusions(runs: Mapping[str, Path], table: pd.DataFrame) -> list[Confusions]:
    """Read the pairs of every encoder under test, by the first probe of each task and unit.

    Args:
        runs: Folders by the label of the run.
        table: Rows with display names.

    Raises:
        UserError: If a file cannot be read.
    """
    names = subjects(table)
    if len(names) > FEW:
        return []
    found, drawn = [], set()
    for panel in panels(table):
        rows = panel.of(table)
        place = (panel.task, panel.corpus, rows["unit"].iloc[0])
        if place in drawn:
            continue
        drawn.add(place)
        for name in names:
            mine = rows[rows["name"] == name]
            if not mine.empty:
                encoder = file_name(str(mine["encoder"].iloc[0]))
                stem = f"{panel.task}.{panel.corpus}.{encoder}.{panel.probe}.csv"
                path = runs[str(mine["run"].iloc[0])] / "confusions" / stem
                if path.is_file():
                    found.append(Confusions(name=name, panel=panel, pairs=_read(path)))
    return found


def _read(path: Path) -> pd.DataFrame:
    try:
        pairs = pd.read_csv(path, keep_default_na=False)
        return pairs.astype({"reference": str, "hypothesis": str, "count": int})
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path}: not a table of reference, hypothesis, count ({error}); run again"
        ) from error


def confusion_maps(found: Sequence[Confusions], name: str) -> Sheet | None:
    """Draw a heatmap for every encoder and panel; None if there is nothing to draw.

    Args:
        found: Pairs of each.
        name: File name of the sheet.
    """
    several = len({each.name for each in found}) > 1
    labels = {panel: _labels(_together(found, panel)) for panel in {each.panel for each in found}}
    kept = [each for each in found if labels[each.panel]]
    if not kept:
        return None
    # Most confusions are rare, so the depth of blue is the root of the share.
    scale = scale_entries({f"{share} %": math.sqrt(share / 100) for share in (1, 10, 25, 50, 100)})
    sheet = new_sheet(name, len(kept), scale, bottom_in=0.62, plot_in=PLOT_IN)
    for each, cell in zip(kept, sheet.cells, strict=True):
        of = f" · {shorten(each.name, 18)}" if several else ""
        title = f"{each.panel.task} · {each.panel.corpus} · {each.panel.probe}{of}"
        write_title(cell.axes, title)
        sheet.alts.append((f"{title} · {each.name}", _draw(cell, each.pairs, labels[each.panel])))
    return sheet


def _together(found: Sequence[Confusions], panel: Panel) -> pd.DataFrame:
    """Pairs of all encoders in one panel, so that their maps have one order of labels."""
    return pd.concat([each.pairs for each in found if each.panel == panel])


def _labels(pairs: pd.DataFrame) -> list[str]:
    """Choose the most frequent labels, like ones beside each other; none if they are too few of all."""
    counts = pairs[pairs["reference"] != ""].groupby("reference")["count"].sum()
    frequent = counts.sort_values(ascending=False, kind="stable").index[:_MOST_LABELS]
    few = counts[frequent].sum() < _LEAST_SHOWN * counts.sum() or counts.mean() < _FEWEST_UNITS
    if few or len(frequent) < 2:
        return []
    labels = [str(label) for label in frequent]
    shares = _shares(pairs, labels, labels)
    alike = shares + shares.T
    distance = 1 - alike / max(alike.max(), np.finfo(float).tiny)
    np.fill_diagonal(distance, 0)
    order = leaves_list(linkage(squareform(distance), "average", optimal_ordering=True))
    return [labels[k] for k in order]


def _shares(
    pairs: pd.DataFrame, references: list[str], hypotheses: list[str]
) -> Float[np.ndarray, "references hypotheses"]:
    """Share of each reference that was taken for each hypothesis."""
    counts = pairs.pivot_table("count", "reference", "hypothesis", "sum", fill_value=0)
    totals = counts.sum(axis=1).reindex(references, fill_value=0).to_numpy(float)
    chosen = counts.reindex(index=references, columns=hypotheses, fill_value=0).to_numpy(float)
    shares: Float[np.ndarray, "references hypotheses"] = chosen / np.maximum(totals, 1)[:, None]
    return shares


def _draw(cell: Cell, pairs: pd.DataFrame, labels: list[str]) -> str:
    """Fill one panel and say in words what is in it."""
    axes = cell.axes
    strings = bool((pairs["reference"] == "").any() or (pairs["hypothesis"] == "").any())
    ends = [""] if strings else []
    shares = _shares(pairs, [*labels, *ends], [*labels, *ends])
    draw_heatmap(axes, np.sqrt(shares))
    inserted, deleted = ([_INSERTED], [_DELETED]) if strings else ([], [])
    name_cells(axes, [*labels, *inserted], [*labels, *deleted], _MOST_LABELS + 1)
    axes.set_xlabel("a label (row) taken for another (column)")
    return _describe(shares, labels)


def _describe(shares: Float[np.ndarray, "references hypotheses"], labels: list[str]) -> str:
    """Name the largest confusions between labels."""
    errors = shares[: len(labels), : len(labels)].copy()
    hits = errors.diagonal().mean()
    np.fill_diagonal(errors, 0)
    largest = np.argsort(-errors, axis=None, kind="stable")[:5]
    pairs = [divmod(int(place), len(labels)) for place in largest]
    told = [f"{labels[a]} for {labels[b]} {errors[a, b]:.0%}" for a, b in pairs if errors[a, b] > 0]
    return (
        f"Of {len(labels)} labels {hits:.0%} are right on average. Most often: {', '.join(told)}."
    )
