"""Sentences from a small grammar over our own words, rich in all phones of English."""

import csv
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

import numpy as np

__all__ = ["sentences"]

_TEMPLATES = (
    "determiner adjective person verb determiner thing preposition name",
    "determiner person adverb verb number adjective plural",
    "name verb determiner animal preposition determiner thing",
    "number plural preposition determiner adjective thing",
    "name and name verb determiner adjective thing",
    "determiner animal verb plural link name verb plural",
    "preposition determiner thing name verb number plural",
    "adverb determiner person verb determiner animal",
)


def sentences(rng: np.random.Generator, *, share: int, shares: int = 2) -> Iterator[str]:
    """Yield different sentences without end or full stop, six to nine words each.

    Args:
        rng: Source of randomness.
        share: Which of `shares` disjoint sets of sentences to draw from, so that two corpora with
            different shares never have a sentence in common.
        shares: Number of disjoint sets.
    """
    said: set[str] = set()
    while True:
        text = _sentence(rng)
        if text not in said and zlib.crc32(text.encode()) % shares == share:
            said.add(text)
            yield text


def _sentence(rng: np.random.Generator) -> str:
    words = _words()
    kinds = _TEMPLATES[rng.integers(len(_TEMPLATES))].split()
    # A word that is no kind ("and") stands for itself.
    chosen = [words[k][rng.integers(len(words[k]))] if k in words else k for k in kinds]
    return " ".join(chosen)


@cache
def _words() -> Mapping[str, tuple[str, ...]]:
    """Words by kind."""
    words: dict[str, tuple[str, ...]] = {}
    with files(__package__).joinpath("words.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            words[row["kind"]] = (*words.get(row["kind"], ()), row["word"])
    return words
