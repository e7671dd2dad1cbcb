"""Copy definitions out of probe-bench into one module that needs no probe-bench.

Starting from the wanted names, every class, function and constant that they use is followed through
the package's imports; each is copied as it stands in its file. Modules come in the order in which
Python would import them and definitions in the order of their file, so the copy runs as the
originals do. Shapes in annotations, which jaxtyping reads here, are plain `Annotated` notes there.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

__all__ = ["standalone"]

_PACKAGE = "probe_bench"
_SHAPES = "jaxtyping"
_LINTER = re.compile(r"  # (noqa|type: ignore).*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class _Definition:
    """A top-level statement and what it reads.

    Attributes:
        line: Where it begins in its file.
        source: Its text, with the comments right above it.
        names: What it may refer to.
    """

    line: int
    source: str
    names: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class _Module:
    """A parsed file.

    Attributes:
        definitions: By name.
        imports: By the name that they bind: module and name there (empty for a module itself).
    """

    definitions: Mapping[str, _Definition]
    imports: Mapping[str, tuple[str, str]]


@dataclass
class _Copy:
    """What has been collected so far."""

    substitutes: Mapping[str, str]
    parsed: dict[str, _Module] = field(default_factory=dict)
    wanted: dict[str, dict[str, _Definition]] = field(default_factory=dict)
    external: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, module: str, name: str) -> None:
        """Collect a name and all that it uses."""
        module = self.substitutes.get(f"{module}.{name}", module)
        source = self.parsed.setdefault(module, _parse(module))
        if name in source.definitions:
            kept = self.wanted.setdefault(module, {})
            if name not in kept:
                kept[name] = source.definitions[name]
                for used in sorted(kept[name].names):
                    self.add(module, used)
        elif name in source.imports:
            where, original = source.imports[name]
            if where == _SHAPES:
                self.external["Annotated"] = ("typing", "Annotated")
            elif where.split(".")[0] != _PACKAGE:
                self.external[name] = (where, original)
            else:
                assert original == name, f"{module}: {original} under another name, {name}"
                self.add(where, name)

    def in_order(self) -> Iterator[tuple[str, list[_Definition]]]:
        """Modules after all those that they import, definitions in their file's order."""
        done: set[str] = set()

        def visit(module: str) -> Iterator[str]:
            if module in done or module not in self.parsed:
                return
            done.add(module)
            for where, name in self.parsed[module].imports.values():
                yield from visit(self.substitutes.get(f"{where}.{name}", where))
            yield module

        for root in list(self.parsed):
            for module in visit(root):
                if module in self.wanted:
                    found = self.wanted[module].values()
                    yield module, sorted(set(found), key=lambda d: d.line)


def standalone(
    roots: Sequence[tuple[str, str]], *, title: str, tail: str, substitutes: Mapping[str, str]
) -> str:
    """Write a module.

    Args:
        roots: Wanted definitions as (module, name).
        title: The module's docstring.
        tail: Code after the copied definitions.
        substitutes: From `module.name` to the module whose definition of that name is taken instead.

    Returns:
        Python source.
    """
    copy = _Copy(substitutes)
    for module, name in roots:
        copy.add(module, name)
    parts = list(copy.in_order())
    _refuse_clashes(copy)
    text = [f'"""{title}\n"""', _imports(copy.external)]
    for module, definitions in parts:
        text.append(f"# {module.removeprefix(_PACKAGE + '.')}")
        text.extend(definition.source for definition in definitions)
    return "\n\n\n".join([*text, tail.strip()]) + "\n"


def _refuse_clashes(copy: _Copy) -> None:
    """Two definitions of one name can't stand in one module."""
    owner: dict[str, str] = {}
    for module, definitions in copy.wanted.items():
        for name in definitions:
            assert owner.setdefault(name, module) == module, f"{name}: {owner[name]} and {module}"


@lru_cache(maxsize=64)
def _parse(module: str) -> _Module:
    """Read a module's file."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    text = Path(spec.origin).read_text(encoding="utf-8")
    body = ast.parse(text).body
    lines = text.splitlines()
    imports = dict(_imported(body))
    shapes = [name for name, (where, _) in imports.items() if where == _SHAPES]
    definitions: dict[str, _Definition] = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        names = _bound(node)
        if names:
            definition = _definition(node, after, lines, shapes)
            definitions |= dict.fromkeys(names, definition)
    return _Module(definitions=definitions, imports=imports)


def _imported(body: Sequence[ast.stmt]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Names that import statements bind, with module and name there."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((a.asname or a.name, (a.name, "")) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((a.asname or a.name, (node.module or "", a.name)) for a in node.names)


def _bound(node: ast.stmt) -> list[str]:
    """Names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _definition(
    node: ast.stmt, after: ast.stmt | None, lines: Sequence[str], shapes: Sequence[str]
) -> _Definition:
    """Cut a statement out of its file, with `Annotated` in place of the names in `shapes`."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    while lines[first - 2].startswith("#"):
        first -= 1
    last = node.end_lineno
    if not decorators and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        last = after.end_lineno  # a constant's docstring
    source = _LINTER.sub("", "\n".join(lines[first - 1 : last]))
    source = re.sub(rf"\b({'|'.join(shapes) or '(?!)'})\[", "Annotated[", source)
    return _Definition(line=first, source=source, names=frozenset(_names(node)))


def _names(node: ast.AST) -> Iterator[str]:
    """Every name in a statement, those in quoted annotations as well."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Constant) and str(part.value).isidentifier():
            yield str(part.value)


def _imports(external: Mapping[str, tuple[str, str]]) -> str:
    """Import statements, sorted."""
    plain: set[str] = set()
    by_module: dict[str, list[str]] = {}
    for bound, (module, name) in sorted(external.items()):
        if name:
            by_module.setdefault(module, []).append(_aliased(name, bound))
        else:
            plain.add("import " + _aliased(module, bound))
    names = [f"from {module} import {', '.join(by_module[module])}" for module in sorted(by_module)]
    return "\n".join([*sorted(plain), *names])


def _aliased(name: str, bound: str) -> str:
    return name if bound == name else f"{name} as {bound}"
