"""Result rows: one number with its interval and everything needed to make it again.

`results.csv` is the contract between measuring and reporting. Column order is fixed; nothing in a
row depends on the clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

import pandas as pd

from probe_bench.errors import UserError

__all__ = [
    "COLUMNS",
    "Beside",
    "Comparison",
    "Question",
    "Role",
    "Row",
    "file_name",
    "logmel_beside",
    "read_beside",
    "read_comparisons",
    "read_rows",
    "write_beside",
    "write_comparisons",
    "write_rows",
]

Role = Literal["subject", "logmel", "random", "chance", "control"]
Question = Literal["twin", "logmel", "chance", "encoder", "layer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One result.

    Attributes:
        run_id: Digest of the run's configuration.
        encoder: Name as on the command line; empty for chance.
        layer: Canonical layer name; `best` for the layer picked on validation data; empty for
            chance.
        depth: 0 (input) to 1 (last layer); None where there is no single layer.
        dim: Feature dimensions of the layer.
        frame_rate_hz: Frames per second of the layer.
        corpus: Corpus name.
        task: Task name, or the analysis (`modulation`, `geometry`).
        unit: `clip`, `frame` or `trial` (verification pairs).
        probe: As in `probe-bench list probes`, `majority`, or the estimator of an analysis.
        setting: `key=value` pairs joined by `;`, e.g. `l2=0.01` or `mod_freq_hz=4`.
        split: Part of the corpus that was scored.
        metric: What `value` is.
        value: The number; None where it could not be measured.
        ci_low: Lower end of the 95 % interval.
        ci_high: Upper end of the 95 % interval.
        n: Units scored.
        n_groups: Independent units (clusters of the bootstrap).
        chosen: Picked on validation data.
        role: What the row is in a comparison.
        censored: Beyond what could be measured: `value` is the limit.
        seed: Seed of the run.
    """

    run_id: str
    encoder: str
    layer: str
    depth: float | None
    dim: int | None
    frame_rate_hz: float | None
    corpus: str
    task: str
    unit: str
    probe: str
    setting: str
    split: str
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_groups: int
    chosen: bool
    role: Role
    censored: bool
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One paired test; layers are `best`, the one picked on validation data, unless layers are asked about.

    Attributes:
        run_id: Digest of the run's configuration.
        question: What it is part of; p-values are adjusted within it: all encoders against their
            `twin`, `logmel` or `chance`, all pairs of encoders (`encoder`), all layers of one encoder
            against `best` (`layer`); each on one task, corpus, probe and metric.
        encoder: First side.
        layer: Its layer.
        other: Second side; empty for chance.
        other_layer: Its layer.
        corpus: Corpus name.
        task: Task name.
        probe: As in the rows.
        metric: As in the rows.
        difference: First less second, in units of the metric.
        ci_low: Lower end of its 95 % interval, unadjusted.
        ci_high: Upper end.
        p: Two-sided, unadjusted.
        p_holm: Adjusted by Holm.
        p_max_t: Adjusted by step-down max-T.
        n_groups: Independent units.
        seed: Seed of the run.
    """

    run_id: str
    question: Question
    encoder: str
    layer: str
    other: str
    other_layer: str
    corpus: str
    task: str
    probe: str
    metric: str
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    p_holm: float | None
    p_max_t: float | None
    n_groups: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """A published number beside a run's own.

    Attributes:
        run_id: Digest of the run's configuration.
        protocol: Variant.
        corpus: Corpus name.
        task: Task name.
        metric: As in the rows.
        encoder: Encoder of the run that is the same; empty if the run has none: a neighbour for
            comparison.
        value: The run's number.
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end.
        published_encoder: As the authors call it.
        published: Their number.
        tolerance: Difference that is no contradiction.
        agrees: Whether the numbers differ by no more than that; None without one of ours.
        source: Where theirs is printed.
    """

    run_id: str
    protocol: str
    corpus: str
    task: str
    metric: str
    encoder: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    published_encoder: str
    published: float
    tolerance: float
    agrees: bool | None
    source: str


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Row))
_TESTED: tuple[str, ...] = tuple(field.name for field in fields(Comparison))
_PUBLISHED: tuple[str, ...] = tuple(field.name for field in fields(Beside))


def file_name(encoder: str) -> str:
    """Turn an encoder's name into one that every file system takes."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in encoder)


def logmel_beside(frame_rate_hz: float, logmel_rates_hz: Mapping[str, float]) -> str | None:
    """Name the log-mel that stands beside an encoder: the one of the nearest frame rate.

    Args:
        frame_rate_hz: Of the encoder's fastest layer.
        logmel_rates_hz: Frame rate of every log-mel of the run, by name.

    Returns:
        Its name, of equally near ones the first; None if there is none.
    """
    rates = logmel_rates_hz
    return min(rates, key=lambda name: abs(rates[name] - frame_rate_hz), default=None)


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV; floats with nine significant digits, missing values empty."""
    table = pd.DataFrame([astuple(row) for row in rows], columns=list(COLUMNS))
    table["dim"] = table["dim"].astype("Int64")
    _write(table, path)


def write_comparisons(comparisons: Iterable[Comparison], path: Path) -> None:
    """Write comparisons as `write_rows` does."""
    _write(pd.DataFrame([astuple(each) for each in comparisons], columns=list(_TESTED)), path)


def write_beside(lines: Iterable[Beside], path: Path) -> None:
    """Write published numbers beside ours as `write_rows` does."""
    _write(pd.DataFrame([astuple(each) for each in lines], columns=list(_PUBLISHED)), path)


def _write(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


def read_rows(path: Path) -> pd.DataFrame:
    """Read `results.csv` into a table; empty text cells stay empty text.

    Raises:
        UserError: If the file is missing or a column is.
    """
    if not path.is_file():
        raise UserError(f"{path}: not there; expected in a folder that `run` wrote")
    return _read(path, Row)


def read_comparisons(path: Path) -> pd.DataFrame:
    """Read `comparisons.csv`; a run without the file has compared nothing.

    Raises:
        UserError: If a column is missing.
    """
    return _read(path, Comparison) if path.is_file() else pd.DataFrame(columns=list(_TESTED))


def read_beside(path: Path) -> pd.DataFrame:
    """Read `published.csv`; a run without the file was by no protocol.

    Raises:
        UserError: If a column is missing.
    """
    return _read(path, Beside) if path.is_file() else pd.DataFrame(columns=list(_PUBLISHED))


def _read(path: Path, kind: type[Row] | type[Comparison] | type[Beside]) -> pd.DataFrame:
    """Read a table; empty cells are missing numbers, but empty strings in text columns."""
    names = [field.name for field in fields(kind)]
    text = [f.name for f in fields(kind) if f.type in (str, Role, Question)]
    missing_numbers = {name: [""] for name in names if name not in text}
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=missing_numbers)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable {path.name} ({error})") from error
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise UserError(
            f"{path}: columns {', '.join(missing)} are missing; expected {tuple(names)}"
        )
    return table.astype(dict.fromkeys(text, str))
