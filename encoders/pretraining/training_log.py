"""What a training leaves to look at: `log.csv`, TensorBoard events and the progress line."""

import contextlib
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from probe_bench.encoders.pretraining.monitors import Row

__all__ = ["TrainingLog", "progress", "write_table"]


@dataclass(kw_only=True)
class TrainingLog:
    """Monitors of a training, one row every so many steps.

    `log.csv` knows no clock, so a resumed log is the same as an uninterrupted one.

    Attributes:
        path: Of `log.csv`.
        verdicts: Of the rows so far.
        board: TensorBoard events beside it.
    """

    path: Path
    verdicts: list[str]
    board: SummaryWriter

    @classmethod
    def open(cls, folder: Path, done: int) -> "TrainingLog":
        """Go on after step `done`: rows that a killed run wrote beyond its checkpoint go."""
        path = folder / "log.csv"
        rows: list[dict[str, str]] = []
        if done and path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= done]
        write_table(path, rows)
        board = SummaryWriter(folder / "tensorboard", purge_step=done + 1)
        return cls(path=path, verdicts=[row["verdict"] for row in rows], board=board)

    def write(self, row: Row) -> None:
        """Append a row; the first one brings the header."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        self.verdicts.append(str(row["verdict"]))
        for name, value in row.items():
            if not isinstance(value, str) and name != "step":
                self.board.add_scalar(name, value, int(row["step"]))

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        self.board.close()


def write_table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write rows as CSV, or leave no file where there are none."""
    path.unlink(missing_ok=True)
    if rows:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


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
