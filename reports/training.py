"""A pretraining's folder to one figure: what was learnt, and whether anything collapsed meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from probe_bench.errors import UserError
from probe_bench.reports.canvas import Entry, Sheet, evenly, new_sheet
from probe_bench.reports.metrics import metric_text
from probe_bench.reports.step_axis import (
    draw_steps,
    draw_verdicts,
    kind_name,
    log_ticks,
    verdict_looks,
)
from probe_bench.reports.style import depth_colours, house_style
from probe_bench.reports.tables import BEST, Panel, headline_panels, layer_rows, name_series
from probe_bench.rows import Row

__all__ = ["draw_training", "read_log", "training_sheet"]

_LAYERS_IN_LEGEND = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitors:
    """One panel of columns that may be compared on one axis.

    Attributes:
        title: Above the panel.
        axis: Label of the vertical axis.
        columns: Column of `log.csv` -> its name in the legend.
        scale: Factor from the stored number to the shown one.
        log: Whether the axis is logarithmic.
        top: Upper end of the axis, where it is known.
    """

    title: str
    axis: str
    columns: Mapping[str, str]
    scale: float = 1.0
    log: bool = False
    top: float | None = None


PANELS = (
    Monitors(
        title="loss",
        axis="loss",
        columns={"loss": "loss", "prediction": "prediction", "penalty": "regulariser"},
        log=True,
    ),
    Monitors(
        title="effective rank",
        axis="effective rank",
        columns={
            "rank_encoder": "encoder",
            "rank_teacher": "teacher",
            "rank_stem": "front end",
            "rank_projected": "projected",
        },
    ),
    Monitors(
        title="spread of the encoder's last block",
        axis="standard deviation",
        columns={
            "std_batch": "between clips",
            "std_time": "within a clip",
            "std_lowest": "weakest tenth of the dimensions",
        },
        log=True,
    ),
    Monitors(
        title="teacher and student",
        axis="mean cosine of a token",
        columns={"teacher_cosine": "cosine"},
        top=1.0,
    ),
    Monitors(
        title="gradient", axis="norm before clipping", columns={"grad_norm": "norm"}, log=True
    ),
    Monitors(
        title="rates",
        axis="per step",
        columns={"lr": "learning rate", "taken": "taken into the teacher, 1 minus EMA"},
        log=True,
    ),
    Monitors(
        title="masks as drawn",
        axis="tokens (%)",
        columns={"visible_fraction": "visible", "target_fraction": "predicted"},
        scale=100.0,
        top=100.0,
    ),
    Monitors(
        title="hidden stretch of time",
        axis="mean length (ms)",
        columns={"hidden_run_ms": "length"},
    ),
    Monitors(
        title="projected embeddings",
        axis="not zero (%)",
        columns={"nonzero_projected": "entries"},
        scale=100.0,
        top=100.0,
    ),
)


def draw_training(folder: Path) -> Path:
    """Draw the monitors of a pretraining, and its probes if there are any, into `training.png`.

    Equal logs give equal bytes.

    Args:
        folder: What `pretrain` wrote: `log.csv`, and with `--probe-every` also `probes.csv`.

    Returns:
        Path of the figure.

    Raises:
        UserError: If a table is missing or cannot be read.
    """
    log = read_log(folder / "log.csv")
    probes = folder / "probes.csv"
    with house_style():
        sheet = training_sheet(log, _read(probes, ("step", "layer")) if probes.exists() else None)
        path = folder / "training.png"
        sheet.figure.savefig(path, metadata={"Software": None})
    return path


def read_log(path: Path) -> pd.DataFrame:
    """Read a training's `log.csv`.

    Raises:
        UserError: If it is missing, has no rows or cannot be read.
    """
    return _read(path, ("step", "loss", "verdict"))


def _read(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path}: not there; expected in a folder that `pretrain` wrote")
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable table ({error}); train again") from error
    missing = [name for name in needed if name not in table.columns]
    if missing or table.empty:
        found = f"columns {', '.join(missing)} are missing" if missing else "no rows"
        raise UserError(f"{path}: {found}; expected what `pretrain` writes; train again")
    return table


def training_sheet(log: pd.DataFrame, probes: pd.DataFrame | None = None) -> Sheet:
    """Lay out every panel that the columns give; recipes without a part have no panel of it."""
    log = _with_taken(log)
    shown = [(monitors, names) for monitors in PANELS if (names := _worth_showing(log, monitors))]
    table = None if probes is None else name_series(_with_text(probes))
    tasks = [] if table is None else headline_panels(table)
    sheet = new_sheet("training", len(shown) + len(tasks), _legend(log), bottom_in=0.45)
    cells = iter(sheet.cells)
    for monitors, names in shown:
        axes = next(cells).axes
        _draw_monitors(axes, log, monitors, names)
        sheet.alts.append((monitors.title, _describe(log, names)))
    for panel in tasks:
        assert table is not None
        axes = next(cells).axes
        title = f"{panel.task} · {panel.corpus}"
        axes.set_title(title)
        _draw_probes(axes, panel.of(table), panel)
        sheet.alts.append((title, f"{metric_text(panel.metric).axis} by step and layer."))
    for cell in sheet.cells:
        draw_verdicts(cell.axes, log["step"], log["verdict"])
        draw_steps(cell.axes, log["step"])
    return sheet


def _with_taken(log: pd.DataFrame) -> pd.DataFrame:
    """Add the student's share in the teacher: on a log axis .996 and .9999 are far apart."""
    return log.assign(taken=1 - log["ema"]) if "ema" in log.columns else log


def _worth_showing(log: pd.DataFrame, monitors: Monitors) -> dict[str, str]:
    """Columns of a panel that are there and say something."""
    shown = {
        column: name
        for column, name in monitors.columns.items()
        if column in log.columns and not _says_nothing(log[column].to_numpy(float), column)
    }
    if "prediction" in shown and "penalty" not in shown and (log.prediction == log.loss).all():
        del shown["prediction"]
    return shown


def _says_nothing(values: np.ndarray, column: str) -> bool:
    """Nothing was measured, or a part of the recipe that is not there was."""
    measured = values[np.isfinite(values)]
    absent = {"penalty": measured == 0, "nonzero_projected": measured > 0.999}
    return bool(absent.get(column, np.zeros(1, dtype=bool)).all()) or not len(measured)


def _legend(log: pd.DataFrame) -> list[Entry]:
    kinds = log["verdict"].value_counts(sort=False)
    looks = verdict_looks(list(kinds.index))
    return [
        Entry(label=f"{kind_name(kind)}: {kinds[kind]} rows", look=look)
        for kind, look in looks.items()
    ]


def _draw_monitors(
    axes: Axes, log: pd.DataFrame, monitors: Monitors, names: Mapping[str, str]
) -> None:
    values = log[list(names)].to_numpy(float) * monitors.scale
    positive = values[np.isfinite(values) & (values > 0)]
    if monitors.log and len(positive) and positive.max() > 4 * positive.min():
        axes.set_yscale("log")
    colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
    for column, colour in zip(names, colours, strict=False):
        axes.plot(
            log["step"], log[column] * monitors.scale, color=colour, linewidth=1.1,
            marker="o" if len(log) == 1 else None, label=names[column],
        )  # fmt: skip
    axes.set_title(monitors.title)
    axes.set_ylabel(monitors.axis)
    if axes.get_yscale() == "linear":
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom=min(0, bottom), top=monitors.top or top)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    else:
        log_ticks(axes)
    if len(names) > 1:
        axes.legend(loc="best", handlelength=1.4, borderpad=0.2, labelspacing=0.25)


def _describe(log: pd.DataFrame, names: Mapping[str, str]) -> str:
    ends = [
        f"{name} from {log[c].iloc[0]:.3g} to {log[c].iloc[-1]:.3g}" for c, name in names.items()
    ]
    return f"By step: {'; '.join(ends)}."


def _with_text(probes: pd.DataFrame) -> pd.DataFrame:
    """Empty cells of text columns are empty text."""
    text = [field.name for field in fields(Row) if field.type is str]
    return probes.fillna(dict.fromkeys(text, ""))


def _draw_probes(axes: Axes, rows: pd.DataFrame, panel: Panel) -> None:
    """Draw a line a layer over the steps, blue at the input and amber at the last layer."""
    text = metric_text(panel.metric)
    rows = rows[(rows["layer"] != BEST) & (rows["role"] == "subject")]
    by_step = {
        float(str(step)): layer_rows(part, str(part["name"].iloc[0])).set_index("layer")
        for step, part in rows.groupby("step")
    }
    layers = next(iter(by_step.values()))
    colours = depth_colours(list(layers["place"]))
    kept = evenly(len(layers), _LAYERS_IN_LEGEND)
    for place, (layer, colour) in enumerate(zip(layers.index, colours, strict=True)):
        values = [part["value"].get(layer, np.nan) * text.scale for part in by_step.values()]
        axes.plot(
            list(by_step), values, color=colour, linewidth=1.2, marker="o", markersize=2.2,
            label=str(layer) if place in kept else None,
        )  # fmt: skip
    axes.set_ylabel(text.axis)
    axes.legend(loc="best", handlelength=1.4, ncols=2, borderpad=0.2, labelspacing=0.25)
