"""What a person sees while a run works: the plan with its cost, then progress with time left."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from probe_bench.budget import Cost

__all__ = ["costs", "human_bytes", "human_seconds", "leaks", "probing", "progress"]


def progress(console: Console, *, counted: bool = True) -> Progress:
    """Return a progress display with time left; `counted` shows done/total."""
    count = (MofNCompleteColumn(),) if counted else ()
    columns = (TextColumn("{task.description}"), BarColumn(), *count)
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


def costs(items: Sequence[Cost], cache_root: str) -> Table:
    """Lay out what extraction will do and cost."""
    table = Table(title="Features", title_justify="left", box=None, pad_edge=False)
    for name in ("encoder", "corpus"):
        table.add_column(name)
    for name in ("clips", "audio", "in cache", "expected", "size"):
        table.add_column(name, justify="right")
    for item in items:
        table.add_row(
            item.encoder,
            item.corpus,
            str(item.clips),
            human_seconds(item.audio_s),
            f"{1 - item.missing_s / item.audio_s:.0%}",
            human_seconds(item.seconds) if item.missing_s else "-",
            human_bytes(item.n_bytes),
        )
    seconds, size = sum((i.seconds for i in items), 0.0), sum(i.n_bytes for i in items)
    table.caption = (
        f"expected: {human_seconds(seconds)} to encode, {human_bytes(size)} in {cache_root}"
    )
    table.caption_justify = "left"
    return table


def probing(seconds: float) -> str:
    """Say how long probes and analyses will take."""
    return f"expected: about {human_seconds(seconds)} to probe and analyse"


def leaks(lines: Sequence[str], coverage: str, *, checked: bool) -> Text:
    """Say what test parts share with train and valid, loudly, or that they share nothing."""
    if not lines and not checked:
        return Text(f"leaks: could not be looked for ({coverage})")
    if not lines:
        return Text(f"leaks: no test audio in train or valid ({coverage})")
    return Text("\n").join(
        [
            *(Text.assemble(("LEAK ", "bold red"), line) for line in lines),
            Text(f"all of them stand in leaks.csv ({coverage}); --refuse-leaks stops here"),
        ]
    )


def human_seconds(seconds: float) -> str:
    """Write a duration to two digits: `3.1 s`, `95 s`, `12 min`, `3.4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def human_bytes(n_bytes: int) -> str:
    """Write a size to two or three digits in powers of 1000: `83 kB`, `1.2 GB`."""
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 9.95 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
