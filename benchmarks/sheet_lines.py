"""Lines of the data sheet of the modulation analysis: one measurement of an encoder of known cutoff."""

import csv
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

__all__ = ["COLUMNS", "Line", "read_lines"]

SEVERAL = frozenset({"patches of 80 ms", "mean-pool"})
"""Families whose tokens hold several instants."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One measurement.

    Attributes:
        kind: `support` or `emphasis`.
        family: What the encoder is.
        true_hz: Its cutoff; infinite if it has none.
        frame_rate_hz: Tokens per second.
        minutes: Audio at most.
        repeat: Draw of speakers, noise and networks.
        outcome: `read`, `beyond` (at least), `below` (at most) or `refused`.
        hz: Reading.
        ci_low: Lower end of the statistical interval; None if open.
        ci_high: Upper end; None if open.
        holds: Whether it holds the truth.
        total_holds: Whether the interval with the systematic term does.
        strength: R² of the readout, or excess of the response over chance.
    """

    kind: str
    family: str
    true_hz: float
    frame_rate_hz: float
    minutes: float
    repeat: int
    outcome: str
    hz: float | None
    ci_low: float | None
    ci_high: float | None
    holds: bool | None
    total_holds: bool | None
    strength: float | None

    @property
    def sitting(self) -> tuple[str, float, float, int]:
        """What it was measured together with."""
        return self.kind, self.frame_rate_hz, round(self.minutes, 2), self.repeat

    @property
    def is_above_nyquist(self) -> bool:
        """Whether a token of one instant cannot tell the cutoff from its alias."""
        return self.family not in SEVERAL and self.frame_rate_hz / 2 <= self.true_hz < math.inf

    @property
    def error(self) -> float:
        """Relative error, signed; NaN where there is no reading or no cutoff."""
        if self.outcome != "read" or self.hz is None or math.isinf(self.true_hz):
            return math.nan
        return self.hz / self.true_hz - 1

    def as_row(self) -> dict[str, str]:
        """Format with four digits."""
        return {name: _format(value) for name, value in asdict(self).items()}


COLUMNS = [field.name for field in fields(Line)]


def _format(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def read_lines(path: Path) -> list[Line]:
    """Read measurements back."""
    with path.open(newline="") as file:
        return [_line(row) for row in csv.DictReader(file)]


def _line(row: dict[str, str]) -> Line:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    def truth(name: str) -> bool | None:
        return row[name] == "1" if row[name] else None

    return Line(
        kind=row["kind"],
        family=row["family"],
        true_hz=float(row["true_hz"]),
        frame_rate_hz=float(row["frame_rate_hz"]),
        minutes=float(row["minutes"]),
        repeat=int(row["repeat"]),
        outcome=row["outcome"],
        hz=number("hz"),
        ci_low=number("ci_low"),
        ci_high=number("ci_high"),
        holds=truth("holds"),
        total_holds=truth("total_holds"),
        strength=number("strength"),
    )
