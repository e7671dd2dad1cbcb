"""Result rows to what is shown: panels, curves and headlines. Pure functions of the rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from probe_bench.errors import UserError
from probe_bench.reports.comparisons import Told, told
from probe_bench.reports.metrics import Score, is_diagnostic
from probe_bench.reports.settings import setting_number, setting_text
from probe_bench.rows import COLUMNS, logmel_beside, read_comparisons, read_rows

__all__ = [
    "ANALYSIS",
    "BEST",
    "DEGRADED",
    "EMPHASIS",
    "GEOMETRY",
    "PAIRS",
    "SPECTRA",
    "SPEED",
    "TWIN_PREFIX",
    "WEIGHT",
    "Headline",
    "Panel",
    "best",
    "chance_score",
    "corpora",
    "degraded",
    "distinct",
    "distinct_panels",
    "headline_panels",
    "headlines",
    "join_comparisons",
    "join_runs",
    "layer_rows",
    "logmel_rows",
    "mixed",
    "name_series",
    "panels",
    "score_of",
    "spectrum",
    "subjects",
    "told_of",
    "twin_name",
]

ANALYSIS = "modulation"
GEOMETRY = "geometry"
BEST = "best"
DEGRADED = "test+"
TWIN_PREFIX = "random:"
WEIGHT = "layer_weight"
SPEED = "support_hz"
EMPHASIS = "emphasis_hz"
SPECTRA = (
    "support_gain", "emphasis_gain", "speed_psd", "r2_by_frequency", "information_share", "support_joint_gain"
)  # fmt: skip
PAIRS = ("cka", "svcca", "pwcca")


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """What may be compared on one axis: one task on one corpus by one probe and metric."""

    task: str
    corpus: str
    probe: str
    metric: str

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of this panel."""
        mine = pd.Series(data=True, index=table.index)
        for column in ("task", "corpus", "probe", "metric"):
            mine &= table[column] == getattr(self, column)
        return table[mine]


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """The result of one encoder in one panel, at the layer picked on validation data.

    Attributes:
        name: Encoder as displayed.
        panel: What was measured.
        layer: Layer picked, by most folds; empty where none was.
        mixed: Whether other folds picked others.
        score: Its score on the test part.
        baselines: Scores of `random`, `logmel` and `chance`, where there are any.
        told: What paired tests say about it.
        n: Units scored.
        n_groups: Independent units.
    """

    name: str
    panel: Panel
    layer: str
    score: Score
    mixed: bool = False
    baselines: Mapping[str, Score] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    n: int = 0
    n_groups: int = 0


def join_runs(runs: Sequence[Path]) -> pd.DataFrame:
    """Read the rows of several runs into one table with the display columns `run` and `name`.

    Raises:
        UserError: If no run is given or a `results.csv` cannot be read.
    """
    if not runs:
        raise UserError("no run given; expected one or more folders that hold a results.csv")
    labels = _run_labels(runs)
    tables = [
        read_rows(run / "results.csv").assign(run=label)
        for run, label in zip(runs, labels, strict=True)
    ]
    return name_series(pd.concat(tables, ignore_index=True))


def join_comparisons(runs: Sequence[Path]) -> pd.DataFrame:
    """Read the paired tests of several runs into one table with the display column `run`."""
    labels = _run_labels(runs)
    tables = [
        read_comparisons(run / "comparisons.csv").assign(run=label)
        for run, label in zip(runs, labels, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _run_labels(runs: Sequence[Path]) -> list[str]:
    """Folder names; the second of the same name is `name #2`."""
    seen: dict[str, int] = {}
    labels = []
    for run in runs:
        name = run.resolve().name
        seen[name] = seen.get(name, 0) + 1
        labels.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return labels


def name_series(table: pd.DataFrame) -> pd.DataFrame:
    """Add `name`: the encoder, with its run only where two runs disagree about that encoder."""
    table = _with_subjects(table if "run" in table.columns else table.assign(run=""))
    measured = [column for column in COLUMNS if column not in ("run_id", "encoder")]
    clashing = {
        str(encoder)
        for encoder, rows in table.groupby("encoder", sort=False)
        if len(rows["run"].unique()) > 1
        and len({_content(part[measured]) for _, part in rows.groupby("run")}) > 1
    }
    suffix = (" (" + table["run"] + ")").where(table["encoder"].isin(clashing), "")
    return table.assign(name=table["encoder"].where(table["encoder"] != "", "chance") + suffix)


def _with_subjects(table: pd.DataFrame) -> pd.DataFrame:
    """Where baselines alone were measured, they are what the report is about."""
    if (table["role"] == "subject").any():
        return table
    return table.assign(role=table["role"].where(table["role"] == "chance", "subject"))


def _content(rows: pd.DataFrame) -> str:
    return rows.to_csv(index=False)


def distinct(table: pd.DataFrame) -> pd.DataFrame:
    """Drop what several runs measured alike, such as the same log-mel on the same corpus."""
    return table.drop_duplicates([*COLUMNS[1:], "name"], ignore_index=True)


def subjects(table: pd.DataFrame) -> list[str]:
    """Display names of the encoders under test, in the order of the rows."""
    return [str(name) for name in table.loc[table["role"] == "subject", "name"].unique()]


def corpora(table: pd.DataFrame) -> list[str]:
    """Corpora in the order of the rows."""
    return [str(name) for name in table["corpus"].unique()]


def degraded(rows: pd.DataFrame) -> pd.Series:
    """Rows of degraded test audio (split `test+KIND`): scores, areas and shares."""
    return rows["split"].str.startswith(DEGRADED)


def panels(table: pd.DataFrame) -> list[Panel]:
    """Everything the tasks measured of audio as recorded, in the order of the rows, but diagnostics."""
    return [panel for panel in distinct_panels(table) if not is_diagnostic(panel.metric)]


def distinct_panels(table: pd.DataFrame) -> list[Panel]:
    """Every task, corpus, probe and metric of audio as recorded, diagnostics among them."""
    columns = ["task", "corpus", "probe", "metric"]
    measured = ~table["task"].isin([ANALYSIS, GEOMETRY]) & ~degraded(table)
    tasks = table[measured & (table["metric"] != WEIGHT) & (table["role"] != "chance")]
    distinct = tasks[columns].drop_duplicates()
    return [
        Panel(task=task, corpus=corpus, probe=probe, metric=metric)
        for task, corpus, probe, metric in distinct.itertuples(index=False)
    ]


def headline_panels(table: pd.DataFrame) -> list[Panel]:
    """Return the first panel of every task and corpus: the metric that layers are picked by."""
    first: dict[tuple[str, str], Panel] = {}
    for panel in panels(table):
        first.setdefault((panel.task, panel.corpus), panel)
    return list(first.values())


def layer_rows(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Test rows of one encoder in one panel, one a layer, from the input up.

    Returns:
        The rows with the column `place`: where a figure draws them, the depth with layers that share
        one drawn apart.
    """
    mine = rows[(rows["name"] == name) & (rows["layer"] != BEST) & _tested(rows)]
    mine = mine.sort_values("chosen", ascending=False, kind="stable").drop_duplicates("layer")
    mine = mine.sort_index(kind="stable").sort_values("depth", kind="stable")
    return mine.assign(place=_apart(mine["depth"].to_numpy(float)))


def _apart(depths: Float[np.ndarray, " layers"]) -> Float[np.ndarray, " layers"]:
    """Draw layers of one depth apart by a block: `cnn` before the input, `out_norm` behind the last.

    >>> _apart(np.array([0, 0, 0.5, 1, 1])).tolist()
    [-0.5, 0.0, 0.5, 1.0, 1.5]
    """
    known = np.unique(depths[np.isfinite(depths)])
    step = 1 / max(1, len(known) - 1)
    places = depths.copy()
    for depth in known:
        (tied,) = np.nonzero(depths == depth)
        places[tied] += step * (np.arange(len(tied)) - (len(tied) - 1) * (depth == known[0]))
    return places


def best(rows: pd.DataFrame, name: str) -> tuple[str, Score, pd.Series] | None:
    """Layer picked on validation data, its score and its row; None where none was picked.

    Where folds picked different layers, it is that of most folds, and the score that of each fold's own.
    """
    mine = rows[(rows["name"] == name) & _tested(rows)]
    layers = layer_rows(rows, name)
    picked = layers[layers["chosen"]]
    named = mine[mine["layer"] == BEST]
    if len(picked) != 1 and len(layers) == 1:
        picked = layers
    layer = str(picked["layer"].iloc[0]) if len(picked) == 1 else ""
    if not named.empty:
        row = named.iloc[0]
        return layer or setting_text(str(row["setting"]), "layer"), score_of(row), row
    return (layer, score_of(picked.iloc[0]), picked.iloc[0]) if len(picked) == 1 else None


def headlines(table: pd.DataFrame, tests: pd.DataFrame | None = None) -> list[Headline]:
    """One line for every panel and encoder under test, beside its baselines.

    Args:
        table: Rows with display names.
        tests: Paired tests, with the column `run` where the rows have one; None if there are none.
    """
    found = []
    for panel in headline_panels(table):
        rows = panel.of(table)
        for name in subjects(rows):
            result = best(rows, name)
            if result is not None:
                layer, score, row = result
                found.append(
                    Headline(
                        name=name,
                        panel=panel,
                        layer=layer,
                        score=score,
                        mixed=mixed(str(row["setting"])),
                        baselines=_baselines(table, panel, row),
                        told=told_of(tests, panel, rows, name),
                        n=int(row["n"]),
                        n_groups=int(row["n_groups"]),
                    )
                )
    return found


def mixed(setting: str) -> bool:
    """Say whether folds picked different layers."""
    return len({setting_text(fold, "layer") for fold in setting.split("|")} - {""}) > 1


def told_of(tests: pd.DataFrame | None, panel: Panel, rows: pd.DataFrame, name: str) -> Told:
    """What the tests of its run say about one encoder in one panel.

    Args:
        tests: Paired tests, with the column `run` where the rows have one; None if there are none.
        panel: What was measured.
        rows: Rows of the panel.
        name: Display name of the encoder.
    """
    own = rows[rows["name"] == name]
    if tests is None or own.empty:
        return Told()
    mine = panel.of(tests)
    if "run" in mine.columns:
        mine = mine[mine["run"] == own["run"].iloc[0]]
    return told(mine, str(own["encoder"].iloc[0]), panel.metric)


def _baselines(table: pd.DataFrame, panel: Panel, row: pd.Series) -> dict[str, Score]:
    """Scores of the baselines that were measured in the run of `row`."""
    rows = panel.of(table)
    rows = rows[rows["run"] == row["run"]]
    found = {}
    twin = rows[(rows["role"] == "random") & (rows["encoder"] == f"{TWIN_PREFIX}{row['encoder']}")]
    for role, mine in (("random", twin), ("logmel", logmel_rows(rows, str(row["name"])))):
        result = best(mine, str(mine["name"].iloc[0])) if len(mine) else None
        if result is not None:
            found[role] = result[1]
    chance = chance_score(table[table["run"] == row["run"]], panel)
    return found if chance is None else {**found, "chance": chance}


def logmel_rows(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of the log-mel that stands beside an encoder in one panel."""
    logmel = rows[rows["role"] == "logmel"]
    fastest_hz = rows.groupby("name", sort=False)["frame_rate_hz"].max().astype(float)
    known = fastest_hz[fastest_hz.index.isin(logmel["name"])].dropna()
    beside = logmel_beside(
        fastest_hz.get(name, math.nan), {str(key): float(hz) for key, hz in known.items()}
    )
    mine: pd.DataFrame = logmel if beside is None else logmel[logmel["name"] == beside]
    return mine


def chance_score(table: pd.DataFrame, panel: Panel) -> Score | None:
    """Score of guessing; one number a metric, whatever the probe."""
    rows = table[
        (table["role"] == "chance")
        & (table["task"] == panel.task)
        & (table["corpus"] == panel.corpus)
        & (table["metric"] == panel.metric)
    ]
    return None if rows.empty else score_of(rows.iloc[0])


def spectrum(table: pd.DataFrame, metric: str, name: str, layer: str) -> pd.DataFrame:
    """One curve over modulation frequency, with the column `mod_freq_hz`, in rising order."""
    rows = table[(table["metric"] == metric) & (table["name"] == name) & (table["layer"] == layer)]
    frequencies = rows["setting"].map(lambda text: setting_number(text, "mod_freq_hz"))
    rows = rows.assign(mod_freq_hz=frequencies.astype(float))
    return rows.dropna(subset=["value", "mod_freq_hz"]).sort_values("mod_freq_hz")


def twin_name(table: pd.DataFrame, name: str) -> str | None:
    """Display name of an encoder's random twin, if it was measured."""
    mine = table[table["name"] == name]
    twins = table[
        (table["role"] == "random")
        & table["encoder"].isin(TWIN_PREFIX + mine["encoder"])
        & table["run"].isin(mine["run"])
    ]
    return None if twins.empty else str(twins["name"].iloc[0])


def score_of(row: Mapping[Any, Any] | pd.Series) -> Score:
    """Number and interval of one row."""
    return Score(
        value=float(row["value"]),
        low=float(row["ci_low"]),
        high=float(row["ci_high"]),
        censored=bool(row["censored"]),
        below=bool(row["censored"]) and _open_below(row),
    )


def _open_below(row: Mapping[Any, Any] | pd.Series) -> bool:
    """Say whether the truth may lie below anything that could be measured, and not above it."""
    low, high = float(row["ci_low"]), float(row["ci_high"])
    said = setting_text(str(row["setting"]), "bound")
    return said == "at most" or (math.isnan(low) and math.isfinite(high))


def _tested(rows: pd.DataFrame) -> pd.Series:
    """Rows scored on data that neither trained nor picked anything, and as it was recorded."""
    return ~rows["split"].isin(["train", "valid"]) & ~degraded(rows)
