"""Result rows: one number with its interval and everything needed to make it again.

`results.csv` is the contract between measuring and reporting. Column order is fixed; nothing in a
row depends on the clock.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

import pandas as pd

from probe_bench.errors import UserError

__all__ = ["COLUMNS", "Role", "Row", "read_rows", "write_rows"]

Role = Literal["subject", "logmel", "random", "chance", "control"]


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
        task: Task name, or the analysis (`modulation`).
        unit: `clip`, `frame` or `trial` (verification pairs).
        probe: `logistic`, `ridge`, `cosine`, `ctc`, `majority`, or the estimator of an analysis.
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


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Row))


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV; floats with nine significant digits, missing values empty."""
    table = pd.DataFrame([astuple(row) for row in rows], columns=list(COLUMNS))
    table["dim"] = table["dim"].astype("Int64")
    table.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


def read_rows(path: Path) -> pd.DataFrame:
    """Read `results.csv` into a table; empty text cells stay empty text.

    Raises:
        UserError: If the file is missing or a column is.
    """
    if not path.is_file():
        raise UserError(f"{path}: not there; expected in a folder that `run` wrote")
    text = [f.name for f in fields(Row) if f.type is str or f.name == "role"]
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=_missing_numbers(text))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable results.csv ({error})") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise UserError(f"{path}: columns {', '.join(missing)} are missing; expected {COLUMNS}")
    return table.astype(dict.fromkeys(text, str))


def _missing_numbers(text: list[str]) -> dict[str, list[str]]:
    """Empty cells are missing numbers, but empty strings in text columns."""
    return {name: [""] for name in COLUMNS if name not in text}
