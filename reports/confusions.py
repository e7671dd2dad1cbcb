"""What is taken for what: heatmaps of the pairs that a run counted at its picked layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.colors import ListedColormap, PowerNorm, to_rgb
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from probe_bench.errors import UserError
from probe_bench.reports.canvas import Cell, Sheet, new_sheet, shorten
from probe_bench.reports.style import COLOURS, FEW
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
    kept = [(each, labels) for each in found if (labels := _labels(each.pairs))]
    if not kept:
        return None
    sheet = new_sheet(name, len(kept), [], bottom_in=0.62, plot_in=2.55)
    for (each, labels), cell in zip(kept, sheet.cells, strict=True):
        of = f" · {shorten(each.name, 18)}" if several else ""
        title = f"{each.panel.task} · {each.panel.corpus} · {each.panel.probe}{of}"
        cell.axes.set_title(title)
        sheet.alts.append((f"{title} · {each.name}", _draw(cell, each.pairs, labels)))
    return sheet


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
    axes, strings = (
        cell.axes,
        bool((pairs["reference"] == "").any() or (pairs["hypothesis"] == "").any()),
    )
    ends = [""] if strings else []
    shares = _shares(pairs, [*labels, *ends], [*labels, *ends])
    colours = ListedColormap([(*to_rgb(COLOURS[0]), alpha) for alpha in np.linspace(0, 1, 64)])
    mesh = axes.pcolormesh(
        np.ma.masked_less(shares, 5e-3), cmap=colours, norm=PowerNorm(0.5, vmin=0, vmax=1)
    )
    axes.set_aspect("equal", anchor="W")
    axes.invert_yaxis()
    axes.grid(visible=False)
    places = np.arange(len(shares)) + 0.5
    size = 7 if len(shares) <= 12 else 4.8
    names = [shorten(label, 9) for label in labels]
    axes.set_xticks(places, [*names, *([_DELETED] if strings else [])], rotation=90, fontsize=size)
    axes.set_yticks(places, [*names, *([_INSERTED] if strings else [])], fontsize=size)
    axes.tick_params(length=0, pad=1.5)
    axes.set_xlabel("a label (row) taken for another (column)")
    bar = axes.figure.colorbar(
        mesh, cax=axes.inset_axes((1.03, 0.0, 0.035, 1.0)), ticks=[0, 0.1, 0.25, 0.5, 1]
    )
    bar.ax.set_yticklabels(["0", "10", "25", "50", "100 %"], fontsize=5.5)
    bar.ax.tick_params(length=1.5, pad=1)
    bar.outline.set_visible(False)
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
