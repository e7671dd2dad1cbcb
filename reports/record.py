"""How a run was measured: `run.json`, read with tolerance, because a report must not need it."""

import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from probe_bench.errors import UserError
from probe_bench.reports.metrics import metric_text, thousands

__all__ = ["FILTERS", "Record", "hidden_runs_ms", "read_record", "unlike"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What `run.json` says about one run.

    Attributes:
        label: Name of the run in the report.
        run_ids: Digests of the configuration, as in the rows.
        found: Whether there was a `run.json`.
        content: Its content; empty if there was none.
    """

    label: str
    run_ids: tuple[str, ...]
    found: bool
    content: Mapping[str, Any]

    @property
    def command(self) -> str:
        """Command line that makes the run again; empty where it is not known."""
        words = [str(word) for word in self.content.get("command", ())]
        return shlex.join([*(PurePath(word).name for word in words[:1]), *words[1:]])

    @property
    def settings(self) -> dict[str, str]:
        """The configuration, one line a field."""
        return {key: _plain(value) for key, value in self.content.get("config", {}).items()}

    @property
    def machine(self) -> dict[str, str]:
        """The machine and device, one line a field."""
        device = {"device": self.content["device"]} if "device" in self.content else {}
        return {k: _plain(v) for k, v in {**device, **self.content.get("machine", {})}.items()}


def read_record(run: Path, label: str, run_ids: tuple[str, ...]) -> Record:
    """Read `run.json` of a run folder, if it is there.

    Raises:
        UserError: If the file is there but is not a JSON object.
    """
    path = run / "run.json"
    if not path.exists():
        return Record(label=label, run_ids=run_ids, found=False, content={})
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable JSON ({error}); run again or remove it") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {type(content).__name__}, expected a JSON object")
    return Record(label=label, run_ids=run_ids, found=True, content=content)


def hidden_runs_ms(table: pd.DataFrame, records: Sequence[Record]) -> dict[str, float]:
    """Mean length in ms of what the masks of an encoder hid in its pretraining, by display name."""
    told = {
        (record.label, encoder.get("name")): encoder.get("hidden_run_ms")
        for record in records
        for encoder in record.content.get("encoders", ())
    }
    named = table[["run", "encoder", "name"]].drop_duplicates().itertuples(index=False, name=None)
    found = {str(name): told.get((run, encoder)) for run, encoder, name in named}
    return {name: float(ms) for name, ms in found.items() if ms}


def unlike(records: Sequence[Record]) -> list[str]:
    """Say in what runs side by side differ so that their scores rest on other clips."""
    heard: dict[str, dict[str, str]] = {}
    for record in records:
        for corpus in record.content.get("corpora", ()):
            clips = f"{record.label}: {_count(corpus.get('clips'))} clips"
            heard.setdefault(str(corpus.get("name")), {})[str(corpus.get("digest"))] = clips
    found = [
        f"The runs heard other parts of {name} ({', '.join(parts.values())}): scores on it rest on other clips."
        for name, parts in heard.items()
        if len(parts) > 1
    ]
    seeds = {r.label: r.content["config"].get("seed") for r in records if "config" in r.content}
    if len(set(seeds.values())) > 1:
        told = ", ".join(f"{label}: {seed}" for label, seed in seeds.items())
        found.append(f"The runs have other seeds ({told}): their parts may differ.")
    return found


def _plain(value: Any) -> str:
    """Write a configuration value as a person would."""
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items()) or "none"
    return "none" if value is None else str(value)


def _duration(seconds: Any) -> str:
    """Write seconds as a person would."""
    if not isinstance(seconds, int | float):
        return ""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _bytes(count: Any) -> str:
    """Write bytes with a decimal prefix."""
    if not isinstance(count, int | float) or count == 0:
        return ""
    power = min(4, int(math.log10(count) / 3))
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _count(number: Any) -> str:
    """Write a whole number; nothing if there is none."""
    return thousands(number) if isinstance(number, int) else ""


def _metric(name: Any) -> str:
    """Write the name of a metric as figures and tables do."""
    text = metric_text(str(name))
    return text.short or text.label


def _rate(rate: Any) -> str:
    """Write a frame rate that may be an exact fraction such as `50/3`."""
    try:
        return f"{float(Fraction(str(rate))):g}"
    except ValueError:
        return str(rate)


def _folds(counts: Any) -> str:
    """Write how many of something every fold has: one number, or the least and the most."""
    known = sorted({int(count) for count in counts}) if isinstance(counts, list) else [counts]
    ends = [_count(count) for count in (known[:1] + known[1:][-1:])]
    return "\N{EN DASH}".join(ends)


FILTERS: Mapping[str, Callable[[Any], str]] = {
    "bytes": _bytes,
    "duration": _duration,
    "folds": _folds,
    "metric": _metric,
    "rate": _rate,
    "thousands": _count,
}
"""How the page writes the numbers of a record; missing ones are written as nothing."""
