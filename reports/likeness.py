"""Which layers are alike: maps of CKA between the layers of encoders, their twins and each other."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from probe_bench.reports.canvas import Sheet, new_sheet, shorten, write_title
from probe_bench.reports.heatmap import (
    PLOT_IN,
    draw_heatmap,
    name_cells,
    scale_entries,
    write_cells,
)
from probe_bench.reports.settings import setting_text
from probe_bench.reports.style import FEW
from probe_bench.reports.tables import (
    GEOMETRY,
    TWIN_PREFIX,
    corpora,
    layer_rows,
    subjects,
)

__all__ = ["likeness", "written"]

BOTTOM_IN = 0.65  # room for the names of layers
WRITTEN = 14  # up to so many layers, each has its name and each cell its number


def written(names: pd.Series) -> pd.Series:
    """Give names as a setting holds them, which semicolons divide."""
    return names.str.replace(";", ",", regex=False)


def likeness(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw CKA between layers: of each encoder, with its twin, and of every two encoders."""
    rows = table[(table["task"] == GEOMETRY) & (table["metric"] == "cka") & table["value"].notna()]
    settings = rows["setting"].astype(str)
    table = table.assign(encoder=written(table["encoder"]))
    rows = rows.assign(
        encoder=written(rows["encoder"]),
        other=settings.map(lambda text: setting_text(text, "other")),
        other_layer=settings.map(lambda text: setting_text(text, "other_layer")),
    )
    drawn = [
        (corpus, encoder, other)
        for corpus in corpora(rows)
        for encoder, other in _pairs(rows[rows["corpus"] == corpus])
    ]
    if not drawn:
        return None
    scale = scale_entries({f"CKA {step:g}": step for step in (0.0, 0.25, 0.5, 0.75, 1.0)})
    sheet = new_sheet(name, len(drawn), scale, bottom_in=BOTTOM_IN, plot_in=PLOT_IN)
    for (corpus, encoder, other), cell in zip(drawn, sheet.cells, strict=True):
        here = rows[(rows["corpus"] == corpus) & (rows["name"] == encoder)]
        sheet.alts.append(_draw(cell.axes, here[here["other"] == other], table, corpus))
    return sheet


def _pairs(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Display name of an encoder under test and name of the other: itself, its twin, few others."""
    found = []
    for name in subjects(rows):
        mine = rows[rows["name"] == name]
        own = str(mine["encoder"].iloc[0])
        order = [own, f"{TWIN_PREFIX}{own}"]
        tested = set(rows.loc[rows["role"] == "subject", "encoder"])
        if len(subjects(rows)) <= FEW:
            order += [str(other) for other in mine["other"].unique() if other in tested - {own}]
        found += [(name, other) for other in order if other in set(mine["other"])]
    return found


def _draw(axes: Axes, rows: pd.DataFrame, table: pd.DataFrame, corpus: str) -> tuple[str, str]:
    """Fill one panel and say in words what is in it."""
    name, own = str(rows["name"].iloc[0]), str(rows["encoder"].iloc[0])
    other = str(rows["other"].iloc[0])
    across = _layers(table, other)
    down = _layers(table, own)
    cells = rows.pivot_table(index="layer", columns="other_layer", values="value", sort=False)
    grid = cells.reindex(index=down, columns=across).to_numpy(float)
    if own == other:
        grid = np.where(np.isnan(grid), grid.T, grid)
        np.fill_diagonal(grid, 1.0)
    draw_heatmap(axes, grid)
    if max(grid.shape) <= WRITTEN:
        write_cells(axes, grid)
    name_cells(axes, down, across, WRITTEN)
    axes.set_xlabel(shorten(other))
    title = f"{shorten(name, 22)} · {corpus}" if own == other else _versus(name, other, corpus)
    write_title(axes, title)
    return title, _describe(grid, name, other, down, across)


def _versus(name: str, other: str, corpus: str) -> str:
    whom = "its random twin" if other.startswith(TWIN_PREFIX) else shorten(other, 16)
    return f"{shorten(name, 16)} and {whom} · {corpus}"


def _layers(table: pd.DataFrame, encoder: str) -> list[str]:
    """Names of an encoder's layers that were compared, from the input up."""
    here = table[(table["encoder"] == encoder) & (table["task"] == GEOMETRY)]
    return [str(layer) for layer in layer_rows(here, str(here["name"].iloc[0]))["layer"]]


def _describe(
    grid: np.ndarray, name: str, other: str, down: Sequence[str], across: Sequence[str]
) -> str:
    """Say which layer of the other is most alike to each layer."""
    grid = np.where(np.eye(*grid.shape) > 0, np.nan, grid) if name == other else grid
    parts = [
        f"{layer} most like {across[int(np.nanargmax(values))]} ({np.nanmax(values):.2f})"
        for layer, values in zip(down, grid, strict=True)
        if np.isfinite(values).any()
    ]
    return f"CKA of the layers of {name} with those of {other}: " + ", ".join(parts) + "."
