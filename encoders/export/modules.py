"""The Python module of an export: copied definitions, the encoder's geometry, and the suite's entry."""

import dataclasses
from collections.abc import Iterator
from string import Template
from typing import Any

import probe_bench
from probe_bench.encoders.export.formats import Format
from probe_bench.encoders.export.shipped.interface import Interface
from probe_bench.encoders.export.shipped.windowed import Architecture
from probe_bench.encoders.export.standalone import standalone

__all__ = ["module_source"]

_SHIPPED = "probe_bench.encoders.export.shipped"
_SUBSTITUTES = {
    f"probe_bench.logmel.{name}": f"{_SHIPPED}.filters" for name in ("mel_filters", "kaldi_filters")
}


def module_source(
    fmt: Format,
    interface: Interface,
    architecture: Architecture | None,
    class_title: str = "",
) -> str:
    """Write the module.

    Args:
        fmt: Whose.
        interface: From outside.
        architecture: From inside; None where a graph holds it.
        class_title: Name of the class, where the format has one of the encoder's own.
    """
    roots = [(f"{_SHIPPED}.{module}", name) for module, name in map(_split, fmt.roots)]
    roots.append((f"{_SHIPPED}.interface", "Interface"))
    constants = f"INTERFACE = {_written(interface)}"
    if architecture is not None:
        roots += [(type(part).__module__, type(part).__qualname__) for part in _parts(architecture)]
        roots += [(f"{_SHIPPED}.windowed", name) for name in ("Piece", "load_weights")]
        constants += f"\n\n\nARCHITECTURE = {_written(architecture)}"
    title = f"{interface.name} for {fmt.suite}"
    version = probe_bench.__version__
    tail = Template(fmt.tail).substitute(class_name=class_title, title=title)
    return standalone(
        roots,
        title=f"{title}: copied from probe-bench {version} (MIT licence), which it does not need.",
        tail=f"{constants}\n\n\n{tail.strip()}",
        substitutes=_SUBSTITUTES,
    )


def _split(root: str) -> tuple[str, str]:
    module, _, name = root.rpartition(".")
    return module, name


def _parts(value: Any) -> Iterator[Any]:
    """A dataclass and all dataclasses in its fields."""
    if dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))


def _written(value: Any) -> str:
    """Constructor call of a dataclass, one field a line."""
    fields = (f"    {f.name}={getattr(value, f.name)!r}," for f in dataclasses.fields(value))
    return "\n".join([f"{type(value).__name__}(", *fields, ")"])
