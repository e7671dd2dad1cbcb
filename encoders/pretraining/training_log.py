"""`log.csv` and the progress line of a training."""

import contextlib
import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["LogFile", "progress"]

Row = Mapping[str, int | float | str]


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """Monitors as CSV, one row every so many steps; no clock, so a resumed log is the same."""

    path: Path

    @classmethod
    def open(cls, path: Path, done: int) -> "LogFile":
        """Go on after step `done`: rows that a killed run wrote beyond its checkpoint go."""
        rows: list[dict[str, str]] = []
        if done and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= done]
        path.unlink(missing_ok=True)
        log = cls(path=path)
        for row in rows:
            log.write(row)
        return log

    def write(self, row: Row) -> None:
        """Append a row; the first one brings the header."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


@contextlib.contextmanager
def progress(
    console: Console | None, title: str, *, steps: int, done: int
) -> Iterator[Callable[[Row], None]]:
    """Show a bar with loss, effective rank and time left; yield what takes each step's row."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  rank {task.fields[rank]:.0f}"),
        TextColumn("{task.fields[verdict]}"),
    )
    with Progress(*columns, console=console, disable=console is None) as bar:
        task = bar.add_task(
            title, total=steps, completed=done, loss=float("nan"), rank=float("nan"), verdict=""
        )

        def show(row: Row) -> None:
            shown = {"loss": row["loss"]}
            if "verdict" in row:
                shown |= {"rank": row["rank_encoder"], "verdict": row["verdict"]}
            bar.update(task, advance=1, **shown)  # type: ignore[arg-type]

        yield show
