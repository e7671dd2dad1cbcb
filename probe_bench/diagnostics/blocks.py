"""The nested blocks of an online code: whole groups of the training part in one fixed random order.

Voita and Titov (2020, arXiv 2003.12298, section 3.2) code a data set block by block, each by a probe
fitted on all blocks before it, with edges at .1, .2, .4, .8, 1.6, 3.2, 6.25, 12.5, 25, 50 and 100 %.

Theirs are single tokens in random order. Frames of one speaker are not independent: in random order
every block would hold neighbours, 20 ms away, of frames that were already sent, and an encoder would
be paid for knowing the speaker. So a block is made of whole groups, those that the task's parts may
not share (speakers for phonemes and emotions, recordings for speakers and tags): each block asks of the
probe what test asks. An edge is the number of groups that comes nearest to its fraction; fractions too
fine for the groups fall together, and the first block is at least one group.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

__all__ = ["FRACTIONS", "Nested", "nest"]

FRACTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
_FEWEST_GROUPS = 8  # below, there would be too few blocks to call it a code


@dataclass(frozen=True, kw_only=True)
class Nested:
    """Training units in the order of their code, and how many of them each fraction holds.

    Attributes:
        order: Indices of the units, group after group.
        fractions: Nominal fractions, ascending; the last is 1.
        sizes: Units of each, strictly ascending.
        notes: What the reader should know.
    """

    order: Int[np.ndarray, " units"]
    fractions: tuple[float, ...]
    sizes: tuple[int, ...]
    notes: tuple[str, ...] = ()


def nest(
    groups: Shaped[np.ndarray, " units"], clips: Int[np.ndarray, " units"], key: Sequence[object]
) -> Nested:
    """Order units by whole groups and cut them at the fractions.

    Args:
        groups: Group of each unit; with fewer than eight of them, clips take their place.
        clips: Clip of each unit.
        key: Decides the order together with the groups' names; plain values.
    """
    notes: tuple[str, ...] = ()
    if len(np.unique(groups)) < _FEWEST_GROUPS:
        notes = (
            f"online code by clips, {len(np.unique(groups))} training groups are too few for blocks",
        )
        groups = clips
    names, group = np.unique(groups, return_inverse=True)
    rank = _generator([*key, *names.tolist()]).permutation(len(names))
    order = np.argsort(rank[group], kind="stable")
    filled = np.cumsum(np.bincount(rank[group], minlength=len(names)))
    nearest = {int(filled[np.abs(filled - f * len(groups)).argmin()]): f for f in FRACTIONS}
    return Nested(order=order, fractions=tuple(nearest.values()), sizes=tuple(nearest), notes=notes)


def _generator(key: Sequence[object]) -> np.random.Generator:
    digest = hashlib.sha256(json.dumps(["blocks", *key]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
