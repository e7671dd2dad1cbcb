"""Geometry figures: how every layer fills its space."""

import pandas as pd

from probe_bench.reports.canvas import Sheet, write_title
from probe_bench.reports.figures import task_curves
from probe_bench.reports.likeness import written
from probe_bench.reports.settings import setting_text
from probe_bench.reports.tables import (
    GEOMETRY,
    Panel,
    corpora,
    subjects,
)

__all__ = ["geometry_curves"]

CURVES = {
    "effective_rank": "effective rank of frames",
    "participation_ratio": "participation ratio of frames",
    "isoscore": "isotropy of frames",
    "mean_cosine": "mean cosine of frames",
    "alignment": "alignment of clip means",
    "uniformity": "uniformity of clip means",
    "pnmi": "phones in codes of frames",
    "speaker_mi_bits": "speakers in codes of clips",
    "abx_within": "ABX within speakers",
    "abx_across": "ABX across speakers",
    "cka_logmel": "CKA with log-mel",
}


def geometry_curves(table: pd.DataFrame, name: str) -> Sheet | None:
    """Draw every geometry metric against layer, a panel each; None if there is nothing."""
    shown = _by_setting(table[table["role"] != "chance"])
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
        write_title(cell.axes, title)
        sheet.alts[index] = (title, sheet.alts[index][1])
    return sheet


def _by_setting(table: pd.DataFrame) -> pd.DataFrame:
    """Give what a layer has several of a metric of its own: ABX errors, CKA with log-mel."""
    logmels = written(table.loc[table["role"] == "logmel", "encoder"])
    settings = table["setting"].astype(str)
    others = settings.map(lambda text: setting_text(text, "other"))
    beside_logmel = (table["metric"] == "cka") & others.isin(logmels)
    named = table["metric"].where(~beside_logmel, "cka_logmel")
    speakers = settings.map(lambda text: setting_text(text, "speaker"))
    is_abx = table["metric"] == "abx_error"
    return table.assign(metric=named.where(~is_abx, "abx_" + speakers))
