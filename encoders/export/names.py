"""Names in other suites, made from an encoder's own."""

import re
from collections.abc import Sequence

__all__ = ["entry_name", "own_class"]

_MOST_LAYERS = 3


def own_class(encoder: str, suite: str, layers: Sequence[str]) -> str:
    """Name a class after an encoder and, for X-ARES, its layers if they are not the usual one.

    X-ARES wants names that end in `Encoder` and keeps results by them: `JepaV0L3Encoder`.
    """
    words = _words(encoder)
    if suite == "xares" and list(layers) != ["out_norm"]:
        words += ["all"] if len(layers) > _MOST_LAYERS else layers
    camel = "".join(word[0].upper() + word[1:] for word in words).replace("_", "")
    ending = "Model" if suite == "transformers" else "Encoder"
    return f"{'N' if camel[0].isdigit() else ''}{camel}{ending}"


def entry_name(encoder: str) -> str:
    """Name a function after an encoder: `jepa_v0`."""
    name = "_".join(_words(encoder)).lower()
    return f"{'n' if name[0].isdigit() else ''}{name}"


def _words(name: str) -> list[str]:
    return re.findall(r"[A-Za-z0-9]+", name) or ["jepa"]
