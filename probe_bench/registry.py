"""Find encoders, tasks and corpora: the file system is the registry.

Every module under `encoders/` that has an `ENCODER`, every one under `tasks/` that has a `TASK` and
every one under `tasks/corpora/` that has `CORPORA` is registered; other distributions add theirs by
the entry-point groups `probe_bench.encoders`, `.tasks` and `.corpora`. There is no central list, nor
of the published protocols, the modules under `probe_bench/protocols/` that have a `PROTOCOL`.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeVar

from probe_bench.corpus import CorpusSpec
from probe_bench.encoder import EncoderSpec
from probe_bench.errors import UserError
from probe_bench.task import Task

__all__ = ["corpora", "encoders", "find", "protocols", "suggest", "tasks"]

T = TypeVar("T")


@cache
def encoders() -> Mapping[str, EncoderSpec]:
    """Return every registered encoder by name."""
    return {spec.name: spec for spec in _specs("encoders", "ENCODER")}


@cache
def tasks() -> Mapping[str, Task]:
    """Return every registered task by name."""
    return {task.name: task for task in _specs("tasks", "TASK")}


@cache
def corpora() -> Mapping[str, CorpusSpec]:
    """Return every registered corpus by name."""
    return {
        spec.name: spec for specs in _specs("tasks.corpora", "CORPORA", "corpora") for spec in specs
    }


@cache
def protocols() -> Mapping[str, Any]:
    """Return every published protocol by name (`protocols.protocol.Protocol`)."""
    return {protocol.name: protocol for protocol in _specs("protocols", "PROTOCOL")}


def find(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Look `name` up, or say what it may have meant.

    Raises:
        UserError: If there is no such name.
    """
    if name in known:
        return known[name]
    raise UserError(f"unknown {kind} {name!r}; {suggest(name, known)}")


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which known name `name` may have meant, or all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def _specs(package: str, attribute: str, group: str | None = None) -> Iterable[Any]:
    """Yield the attribute of every module of a package that has it, then of the entry points."""
    root = importlib.import_module(f"probe_bench.{package}")
    for module in sorted(pkgutil.iter_modules(root.__path__), key=lambda m: m.name):
        found = getattr(_import(f"{root.__name__}.{module.name}"), attribute, None)
        if found is not None:
            yield found
    for point in sorted(
        entry_points(group=f"probe_bench.{group or package}"), key=lambda p: p.name
    ):
        yield point.load()


def _import(name: str) -> ModuleType:
    """Import a module of ours, or say which one is broken."""
    try:
        return importlib.import_module(name)
    except (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{name}: cannot be imported ({error!r}); mend or remove it") from error
