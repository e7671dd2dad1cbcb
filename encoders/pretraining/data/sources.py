"""Where training audio comes from: one protocol for several kinds.

`plan` says which stretches a step trains on, a pure function of (seed, step) that costs
microseconds; `Source.read` decodes them, in whichever process.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from probe_bench.encoders.pretraining.data.cuts import CropRule

__all__ = ["Joined", "Source", "join", "plan"]

_BLOCK = 4096  # turns over which joined sources keep their proportions
_TURN_ORDER = 1


@runtime_checkable
class Source(Protocol):
    """Training audio, thought of as one tape at the rate of training; can be pickled."""

    @property
    def n_clips(self) -> int:
        """Number of clips."""
        ...

    @property
    def n_samples(self) -> int:
        """Length of all clips at the rate of training."""
        ...

    @property
    def left_out(self) -> tuple[str, ...]:
        """A line for each recording that was left out, and why."""
        ...

    def digest(self) -> str:
        """Identify the audio."""
        ...

    def draw(
        self,
        turns: Int64[np.ndarray, " clips"],
        rule: CropRule,
        *,
        seed: int,
        rng: np.random.Generator,
    ) -> Int64[np.ndarray, " cuts"]:
        """Draw the cuts of some clips.

        Args:
            turns: Running numbers of the clips since the start of training, for sources that keep
                an order over an epoch.
            rule: How many crops a clip gives, and how long.
            seed: Of that order.
            rng: The step's own generator.
        """
        ...

    def read(
        self, cuts: Int64[np.ndarray, " batch"], crop_samples: int
    ) -> Float[Tensor, "batch samples"]:
        """Return the crops that start at some cuts, in [-1, 1] for integer formats."""
        ...


def plan(
    source: Source,
    rule: CropRule,
    *,
    seed: int,
    step: int,
    rng: np.random.Generator,
    shift: int = 0,
) -> Int64[np.ndarray, " batch"]:
    """Draw the cuts of one step.

    Args:
        source: Training audio.
        rule: The batch.
        seed: Of the training.
        step: Steps done before.
        rng: `np.random.default_rng((seed, step))`, fresh; masks are drawn from it afterwards.
        shift: Give every clip's place to the one that stands so much further on in the step.

    Raises:
        CorpusError: If there is less audio than one crop.
    """
    turns = step * rule.clips + np.roll(np.arange(rule.clips), -shift)
    return source.draw(turns, rule, seed=seed, rng=rng)


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Several sources, each with turns in proportion to its length; a `Source`.

    Every block of turns holds each source exactly so often, in an order of its own, so that the
    turns which a source has had are counted without looking at the steps before.

    Attributes:
        sources: At least one.
    """

    sources: tuple[Source, ...]

    @property
    def n_clips(self) -> int:
        """Number of clips."""
        return sum(source.n_clips for source in self.sources)

    @property
    def n_samples(self) -> int:
        """Length of all clips."""
        return sum(source.n_samples for source in self.sources)

    @property
    def left_out(self) -> tuple[str, ...]:
        """A line for each recording that was left out, and why."""
        return tuple(line for source in self.sources for line in source.left_out)

    def digest(self) -> str:
        """Return the sha256 of the sources' digests, in order."""
        parts = "".join(source.digest() for source in self.sources)
        return hashlib.sha256(parts.encode()).hexdigest()

    def draw(
        self,
        turns: Int64[np.ndarray, " clips"],
        rule: CropRule,
        *,
        seed: int,
        rng: np.random.Generator,
    ) -> Int64[np.ndarray, " cuts"]:
        """Give every turn to a source and let it draw."""
        owners, own_turns = self._owners(turns, seed)
        cuts = np.empty((len(turns), rule.crops_per_clip), dtype=np.int64)
        for i, (source, base) in enumerate(zip(self.sources, self._bases(), strict=True)):
            if (mine := owners == i).any():
                drawn = source.draw(own_turns[mine], rule, seed=seed, rng=rng)
                cuts[mine] = base + drawn.reshape(-1, rule.crops_per_clip)
        return cuts.reshape(-1)

    def read(
        self, cuts: Int64[np.ndarray, " batch"], crop_samples: int
    ) -> Float[Tensor, "batch samples"]:
        """Let every source read its cuts."""
        bases = self._bases()
        owners = np.searchsorted(bases, cuts, side="right") - 1
        crops = torch.empty(len(cuts), crop_samples)
        for i in np.unique(owners):
            rows = np.flatnonzero(owners == i)
            crops[rows] = self.sources[i].read(cuts[rows] - bases[i], crop_samples)
        return crops

    def _bases(self) -> list[int]:
        """Position of every source's first sample on the joined tape."""
        return [0, *accumulate(source.n_samples for source in self.sources)][:-1]

    def _owners(self, turns: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the source of every turn, and that turn's number within the source."""
        quotas = _quotas([source.n_samples for source in self.sources], _BLOCK)
        owners, own_turns = np.empty_like(turns), np.empty_like(turns)
        blocks, places = np.divmod(turns, quotas.sum())
        for block in np.unique(blocks):
            rng = np.random.default_rng((seed, int(block), _TURN_ORDER))
            order = rng.permutation(np.repeat(np.arange(len(quotas)), quotas))
            before = np.empty_like(order)
            for i, quota in enumerate(quotas):
                before[order == i] = block * quota + np.arange(quota)
            here = blocks == block
            owners[here], own_turns[here] = order[places[here]], before[places[here]]
        return owners, own_turns


def _quotas(lengths: Sequence[int], turns: int) -> np.ndarray:
    """Divide some turns in proportion to lengths, at least one each."""
    return np.maximum(np.rint(np.array(lengths) / sum(lengths) * turns), 1).astype(np.int64)


def join(sources: Sequence[Source]) -> Source:
    """Return the only source, or one that draws from all in proportion to their length."""
    return sources[0] if len(sources) == 1 else Joined(sources=tuple(sources))
