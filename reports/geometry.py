"""Geometry figures: how every layer fills its space, and which layers are alike."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from probe_bench.reports.canvas import Sheet, new_sheet, shorten
from probe_bench.reports.figures import task_curves
from probe_bench.reports.style import FEW
from probe_bench.reports.tables import (
    GEOMETRY,
    TWIN_PREFIX,
    Panel,
    corpora,
    layer_rows,
    setting_text,
    subjects,
)

__all__ = ["geometry_curves", "likeness"]

CURVES = {
    "effective_rank": "effective rank of frames",
    "participation_ratio": "participation ratio of frames",
    "isoscore": "isotropy of frames",
    "mean_cosine": "mean cosine of frames",
    "alignment": "alignment of clip means",
    "uniformity": "uniformity of clip means",
    "pnmi": "phones in codes of frames",
    "speaker_mi_bits": "speakers in codes of clips",
    "abx_error": "ABX of triphones",
    "cka_logmel": "CKA with log-mel",
}
PLOT_IN, BOTTOM_IN, SHIFT_IN = 2.2, 0.75, 0.15  # room for the names of layers
WRITTEN = 14  # up to so many layers, each cell holds its number
NAMED = 14
LETTER_PT = 4.6
DARK, LIGHT = "#15161a", "#ffffff"  # on a cell, whatever the page's theme


def geometry_curves(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw every geometry metric against layer, a panel each; None if there is nothing."""
    shown = _with_logmel_cka(table[table["role"] != "chance"])
    # Ranks stand twice, for frames and for clip means; the figure has room for those of frames.
    shown = shown[(shown["probe"] != "spectrum") | (shown["unit"] == "frame")]
    rows = shown[(shown["task"] == GEOMETRY) & shown["value"].notna()]
    found = rows[["corpus", "probe", "metric"]].drop_duplicates()
    panels = [
        Panel(task=GEOMETRY, corpus=corpus, probe=probe, metric=metric)
        for place in corpora(rows)
        for curve in CURVES
        for corpus, probe, metric in found.itertuples(index=False)
        if (corpus, metric) == (place, curve)
    ]
    panels = [panel for panel in panels if subjects(panel.of(shown))]
    sheet = task_curves(shown, panels, name)
    if sheet is None:
        return None
    for index, (panel, cell) in enumerate(zip(panels, sheet.cells, strict=True)):
        title = f"{CURVES[panel.metric]} · {panel.corpus}"
        cell.axes.set_title(title)
        cell.axes.yaxis.labelpad = 0  # beside numbers as long as -2.25
        sheet.alts[index] = (title, sheet.alts[index][1])
    return sheet


def _with_logmel_cka(table: pd.DataFrame) -> pd.DataFrame:
    """Give CKA with log-mel, one number a layer, a metric of its own."""
    logmels = _written(table.loc[table["role"] == "logmel", "encoder"])
    others = table["setting"].map(lambda text: setting_text(str(text), "other"))
    mine = (table["metric"] == "cka") & others.isin(logmels)
    return table.assign(metric=table["metric"].where(~mine, "cka_logmel"))


def _written(names: pd.Series) -> pd.Series:
    """Names as a setting holds them, which semicolons divide."""
    return names.str.replace(";", ",", regex=False)


def likeness(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw CKA between layers: of each encoder, with its twin, and of every two encoders."""
    rows = table[(table["task"] == GEOMETRY) & (table["metric"] == "cka") & table["value"].notna()]
    settings = rows["setting"].astype(str)
    table = table.assign(encoder=_written(table["encoder"]))
    rows = rows.assign(
        encoder=_written(rows["encoder"]),
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
    sheet = new_sheet(name, len(drawn), [], bottom_in=BOTTOM_IN, plot_in=PLOT_IN)
    for (corpus, encoder, other), cell in zip(drawn, sheet.cells, strict=True):
        here = rows[(rows["corpus"] == corpus) & (rows["name"] == encoder)]
        place = cell.axes.get_position()
        shift = SHIFT_IN / sheet.figure.get_figwidth()
        cell.axes.set_position((place.x0 + shift, place.y0, place.width, place.height))
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
    colours = sns.blend_palette(sns.color_palette("mako_r", 256)[4:226], as_cmap=True)
    axes.pcolormesh(grid, cmap=colours, vmin=0, vmax=1, edgecolors="face", linewidth=0.1)
    axes.set_aspect("equal", anchor="NW")
    axes.invert_yaxis()
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if max(grid.shape) <= WRITTEN:
        _write(axes, grid)
    _name_layers(axes, down, across)
    axes.set_xlabel(shorten(other))
    _scale(axes, colours)
    title = f"{shorten(name, 22)} · {corpus}" if own == other else _versus(name, other, corpus)
    axes.set_title(title)
    return title, _describe(grid, name, other, down, across)


def _versus(name: str, other: str, corpus: str) -> str:
    whom = "its random twin" if other.startswith(TWIN_PREFIX) else shorten(other, 16)
    return f"{shorten(name, 16)} and {whom} · {corpus}"


def _layers(table: pd.DataFrame, encoder: str) -> list[str]:
    """Names of an encoder's layers that were compared, from the input up."""
    here = table[(table["encoder"] == encoder) & (table["task"] == GEOMETRY)]
    return [str(layer) for layer in layer_rows(here, str(here["name"].iloc[0]))["layer"]]


def _write(axes: Axes, grid: np.ndarray) -> None:
    """Write the number into every cell, to two digits and without the zero."""
    size = min(6.5, 60 / max(grid.shape))
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            text = f"{value:.2f}".replace("0.", ".", 1)
            colour = LIGHT if value > 0.42 else DARK
            axes.text(
                column + 0.5, row + 0.5, text, ha="center", va="center", size=size, color=colour
            )


def _name_layers(axes: Axes, down: Sequence[str], across: Sequence[str]) -> None:
    for axis, names in ((axes.xaxis, across), (axes.yaxis, down)):
        step = -(-len(names) // NAMED)
        kept = range(0, len(names), step)
        axis.set_ticks([place + 0.5 for place in kept], [names[place] for place in kept])
        axis.set_tick_params(length=0)
    widest_pt = max(len(name) for name in across) * LETTER_PT
    if widest_pt > PLOT_IN * 72 / max(len(across), len(down)):
        axes.tick_params(axis="x", labelrotation=45)


def _scale(axes: Axes, colours: Colormap) -> None:
    """Draw the colour scale beside the map, as a part of it."""
    bar = axes.inset_axes((1.04, 0.0, 0.05, 1.0))
    levels = np.linspace(0, 1, 65)
    bar.pcolormesh(
        [0, 1], levels, levels[:-1, None] + 1 / 128, cmap=colours, vmin=0, vmax=1,
        edgecolors="face", linewidth=0.1,
    )  # fmt: skip
    bar.grid(visible=False)
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.yaxis.set_label_position("right")
    bar.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    bar.set_ylabel("CKA")
    for spine in bar.spines.values():
        spine.set_visible(False)


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
