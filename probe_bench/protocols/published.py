"""Our number beside the published one: wherever the same encoder and data set are given.

`published.csv` beside this file lists what the protocols' authors print. An encoder is the same if the
last part of its reference is one of the names that the table gives it, a data set if its name is
(`NAME=FOLDER`; the task's name for a folder of HEAR).
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from probe_bench.corpus import Corpus
from probe_bench.rows import Beside, Row

__all__ = ["Published", "beside", "published"]

_BEST = "best"


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One published number.

    Attributes:
        protocol: Variant that stands for what was published.
        encoder: As its authors call it.
        names: Last parts of references to the same weights.
        data_sets: Names of the data set.
        task: Task that reads it.
        metric: As in the rows.
        value: The number, as a fraction.
        tolerance: Difference that a run with the same weights and data may have: twice the published
            deviation over seeds or folds, or what repeated runs are known to move.
        source: Where it is printed.
    """

    protocol: str
    encoder: str
    names: tuple[str, ...]
    data_sets: tuple[str, ...]
    task: str
    metric: str
    value: float
    tolerance: float
    source: str


@cache
def published() -> tuple[Published, ...]:
    """Read the table."""
    text = resources.files("probe_bench.protocols").joinpath("published.csv").read_text()
    return tuple(
        Published(
            protocol=row["protocol"],
            encoder=row["encoder"],
            names=tuple(row["names"].lower().split(";")),
            data_sets=tuple(row["data_sets"].split(";")),
            task=row["task"],
            metric=row["metric"],
            value=float(row["value"]),
            tolerance=float(row["tolerance"]),
            source=row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def _data_set(corpus: Corpus) -> str:
    """Name the data set of a corpus: its own name, of a HEAR folder the task's."""
    return corpus.revision.partition("-")[0] if corpus.name == "hear" else corpus.name


def beside(rows: Iterable[Row], corpora: Mapping[str, Corpus], run_id: str) -> Iterator[Beside]:
    """Put published numbers beside the rows of protocols.

    Args:
        rows: Result rows; those of `best` by a protocol are used.
        corpora: By name.
        run_id: Digest of the run's configuration.

    Yields:
        One line for every published number on a data set, task and variant that the run has.
    """
    ours = {
        (row.probe, row.corpus, row.task, row.metric, row.encoder): row
        for row in rows
        if row.layer == _BEST
    }
    for probe, corpus, task, metric in dict.fromkeys(key[:4] for key in ours):
        encoders = [key[4] for key in ours if key[:4] == (probe, corpus, task, metric)]
        for each in published():
            if (each.protocol, each.task, each.metric) != (probe, task, metric):
                continue
            if _data_set(corpora[corpus]) not in each.data_sets:
                continue
            same = [name for name in encoders if _last_part(name) in each.names]
            for encoder in same or [""]:
                own = ours.get((probe, corpus, task, metric, encoder))
                yield _line(each, own, corpus, run_id)


def _line(each: Published, own: Row | None, corpus: str, run_id: str) -> Beside:
    value = own.value if own else None
    return Beside(
        run_id=run_id,
        protocol=each.protocol,
        corpus=corpus,
        task=each.task,
        metric=each.metric,
        encoder=own.encoder if own else "",
        value=value,
        ci_low=own.ci_low if own else None,
        ci_high=own.ci_high if own else None,
        published_encoder=each.encoder,
        published=each.value,
        tolerance=each.tolerance,
        agrees=None if value is None else abs(value - each.value) <= each.tolerance,
        source=each.source,
    )


def _last_part(reference: str) -> str:
    """Return the name of the weights in `hf:OWNER/NAME`, `torchaudio:NAME`, a path or a plain name."""
    return Path(reference.rpartition(":")[2]).name.lower()
