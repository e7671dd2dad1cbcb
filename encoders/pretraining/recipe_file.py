"""Recipe files: a preset and what is different, in a few lines of TOML.

    base = "wavjepa/tiny"
    steps = 1000
    teacher = "none"
    [masks]
    span = 20

A table changes fields of the base's part. A table with a `kind` replaces the part: the name of a
class of the core (`SigReg`), or `module:Class` below `probe_bench.encoders`. TOML has no null:
`"none"` stands for it.
"""

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from probe_bench.encoders.pretraining.field_types import described, fitted
from probe_bench.encoders.pretraining.recipe import Recipe, part
from probe_bench.errors import UserError

__all__ = ["load_recipe"]

_CORE = {
    "Augment": "data.augment",
    "BlockMasks": "masking.samplers",
    "ConformerShape": "blocks.conformer",
    "ConvStemShape": "frontends.stem",
    "CurriculumMasks": "masking.samplers",
    "EmaRule": "teacher",
    "ExactSpans": "masking.exact",
    "MelPatchesShape": "frontends.patches",
    "MultiMasks": "masking.samplers",
    "OptimiserRule": "optimiser",
    "PatchMasks": "masking.samplers",
    "ProjectorShape": "blocks.projector",
    "RdmReg": "losses.rdmreg",
    "SigReg": "losses.sigreg",
    "SpanMasks": "masking.samplers",
    "StripMasks": "masking.samplers",
    "TargetRule": "losses.targets",
    "TransformerPredictor": "blocks.predictor",
    "TransformerShape": "blocks.transformer",
    "ViewRule": "losses.views",
}


def load_recipe(path: Path, preset: Callable[[str, str], Recipe]) -> Recipe:
    """Read a recipe file.

    Args:
        path: TOML file.
        preset: Finds a preset by system and name.

    Raises:
        UserError: If the file is missing or no TOML, or a field or kind is unknown.
    """
    try:
        changes = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not a recipe file ({error}); expected TOML that begins with "
            'base = "SYSTEM/PRESET"'
        ) from error
    base = changes.pop("base", None)
    if not isinstance(base, str) or base.count("/") != 1:
        raise UserError(f'{path}: base is {base!r}; expected base = "SYSTEM/PRESET" as first line')
    system, _, name = base.partition("/")
    for given in ("system", "preset"):
        if given in changes:
            raise UserError(
                f"{path}: {given} = {changes[given]!r}; the system is the base's, the preset the name of "
                "the file; leave it out"
            )
    recipe: Recipe = _changed(preset(system, name), {"preset": path.stem, **changes}, f"{path}")
    return recipe


def _changed(value: Any, changes: Mapping[str, Any], where: str) -> Any:
    """Replace fields of a part; tables change or replace parts of it."""
    hints = get_type_hints(type(value))
    for name in changes:
        if name not in hints:
            raise UserError(f"{where}: no field {name!r}; expected one of {', '.join(hints)}")
    new = {
        name: _value(change, getattr(value, name), hints[name], f"{where}: {name}")
        for name, change in changes.items()
    }
    return _built(lambda: dataclasses.replace(value, **new), where)


def _value(change: Any, present: Any, hint: Any, where: str) -> Any:
    """Make a field's value and check it against the field's type."""
    made = _made(change, present, hint, where)
    try:
        return fitted(made, hint)
    except (TypeError, ValueError):
        found = type(made).__name__ if dataclasses.is_dataclass(made) else repr(change)
        raise UserError(f"{where}: {found}; expected {described(hint)}") from None


def _made(change: Any, present: Any, hint: Any, where: str) -> Any:
    if change == "none":
        return None
    if isinstance(change, list):
        return tuple(_made(item, None, hint, where) for item in change)
    if not isinstance(change, Mapping):
        return change
    fields = dict(change)
    kind = fields.pop("kind", None)
    if kind is not None:
        cls = _part(kind, hint, where)
        hints = get_type_hints(cls)
        blank = {
            name: _value(field, None, hints.get(name, object), f"{where}.{name}")
            for name, field in fields.items()
        }
        missing = [f.name for f in dataclasses.fields(cls) if _needed(f) and f.name not in blank]
        if missing:
            raise UserError(f"{where}: {kind} without {', '.join(missing)}; give it a value")
        return _built(lambda: cls(**blank), where)
    if not dataclasses.is_dataclass(present):
        raise UserError(f"{where}: the base has no such part; name its kind, {_kinds(hint)}")
    return _changed(present, fields, where)


def _needed(field: "dataclasses.Field[Any]") -> bool:
    return field.init and field.default is field.default_factory is dataclasses.MISSING


def _part(kind: Any, hint: Any, where: str) -> type[Any]:
    name = str(kind)
    try:
        return part(name if ":" in name else f"pretraining.{_CORE[name]}:{name}")
    except KeyError:
        raise UserError(f"{where}: no kind {kind!r}; expected {_kinds(hint)}") from None


def _kinds(hint: Any) -> str:
    """Name the parts of the core that a field may hold."""
    wanted = get_args(hint) or (hint,)
    core = {name: part(f"pretraining.{module}:{name}") for name, module in _CORE.items()}
    fitting = [name for name, cls in core.items() if any(_is_one(cls, one) for one in wanted)]
    return f"one of {', '.join(fitting or core)}"


def _is_one(cls: type[Any], hint: Any) -> bool:
    """Say whether a part is what a field wants; of a protocol, whether it has its members."""
    if not getattr(hint, "_is_protocol", False):
        return isinstance(hint, type) and issubclass(cls, hint)
    members = {*vars(hint), *hint.__annotations__}
    return {name for name in members if not name.startswith("_")} <= {
        *dir(cls),
        *get_type_hints(cls),
    }


def _built(make: Callable[[], Any], where: str) -> Any:
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}; see the field's docstring") from error
