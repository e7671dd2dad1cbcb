"""Names of layers."""

import re
from collections.abc import Iterable

__all__ = ["in_words", "last_block"]

BLOCK = re.compile(r"L(\d+)")
PLACES = {"in": "the input", "cnn": "the front end"}


def in_words(layer: str) -> str:
    """Name a layer within a sentence, where `in` would be read as a word."""
    return PLACES.get(layer, layer)


def last_block(layers: Iterable[str]) -> str:
    """Name the last block, or the last layer where none is called a block.

    >>> last_block(["in", "L1", "L10", "L9", "out_norm"])
    'L10'
    """
    names = [str(layer) for layer in layers]
    blocks = [name for name in names if BLOCK.fullmatch(name)]
    return max(blocks, key=lambda name: int(name[1:])) if blocks else names[-1]
