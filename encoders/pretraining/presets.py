"""Presets of every bundled system, and recipes by name or file."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from pathlib import Path

import probe_bench.encoders
from probe_bench.encoders.pretraining.recipe import Recipe
from probe_bench.encoders.pretraining.recipe_file import load_recipe
from probe_bench.errors import UserError
from probe_bench.registry import find

__all__ = ["find_recipe", "presets"]


def presets() -> Mapping[str, Mapping[str, Recipe]]:
    """Presets by system: all folders under `encoders/` that have `presets.PRESETS`."""
    found: dict[str, Mapping[str, Recipe]] = {}
    for module in pkgutil.iter_modules(probe_bench.encoders.__path__):
        name = f"probe_bench.encoders.{module.name}"
        if module.ispkg and importlib.util.find_spec(f"{name}.presets"):
            try:
                of_system = getattr(importlib.import_module(f"{name}.presets"), "PRESETS", None)
            except ImportError as error:
                raise UserError(
                    f"encoders/{module.name}/presets.py: cannot be imported ({error}); mend or remove it"
                ) from error
            if of_system:
                found[next(iter(of_system.values())).system] = of_system
    return found


def find_recipe(system: str, preset: str) -> Recipe:
    """Find a recipe.

    Args:
        system: Name of a bundled system, or path of a recipe file (`.toml`).
        preset: Preset of the system; a recipe file names its own.

    Raises:
        UserError: If there is no such system, preset or file, or the file is wrong.
    """
    if system.endswith(".toml"):
        return load_recipe(Path(system), _preset)
    return _preset(system, preset)


def _preset(system: str, preset: str) -> Recipe:
    of_system = find("system", system, presets())
    return find(f"preset of {system}", preset, of_system)
