"""Where training audio comes from: one protocol, several kinds, and words that name them.

`plan` says which stretches a step trains on, a pure function of (seed, step) that costs
microseconds; `Source.read` decodes them, in whichever process.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from probe_bench.encoders.pretraining.cuts import CropRule
from probe_bench.encoders.pretraining.decoding import SUFFIXES
from probe_bench.encoders.pretraining.files import AudioFiles, find_files
from probe_bench.encoders.pretraining.shards import Shards
from probe_bench.errors import CorpusError
from probe_bench.manifest import manifest_paths

__all__ = ["Joined", "Source", "join", "open_sources", "plan"]

_BLOCK = 4096  # turns over which joined sources keep their proportions
_TURN_ORDER = 1
_TAR = frozenset({".tar"})
_ALTERNATIVES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")


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
    source: Source, rule: CropRule, *, seed: int, step: int, rng: np.random.Generator
) -> Int64[np.ndarray, " batch"]:
    """Draw the cuts of one step.

    Args:
        source: Training audio.
        rule: The batch.
        seed: Of the training.
        step: Steps done before.
        rng: `np.random.default_rng((seed, step))`, fresh; masks are drawn from it afterwards.

    Raises:
        CorpusError: If there is less audio than one crop.
    """
    turns = step * rule.clips + np.arange(rule.clips)
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


def open_sources(words: Sequence[str], sample_rate_hz: int, cache: Path) -> Source:
    """Open training audio by the words of a command line.

    Args:
        words: Audio files, CSV manifests with a column `path`, tars, or folders: with a
            `manifest.csv`, or with audio or tars in it or below. Braces stand for several words:
            `shards-{000..009}.tar`, `{train,other}.csv`.
        sample_rate_hz: Rate of training.
        cache: Folder for what is found out about shards.

    Returns:
        All audio files as one source, all tars as one, or both joined.

    Raises:
        CorpusError: If a word names nothing, a folder has no audio, or a tar is unreadable.
        AudioError: If a header is not usable.
    """
    found = [path for word in words for one in _expand(word) for path in _find(Path(one))]
    name = ", ".join(words)
    if not found:
        raise CorpusError("training audio: no words given; expected folders, manifests or tars")
    files = [path for path in found if path.suffix.lower() not in _TAR]
    tars = [path for path in found if path.suffix.lower() in _TAR]
    sources: list[Source] = []
    if files:
        sources.append(AudioFiles.open(files, sample_rate_hz, name=name))
    if tars:
        sources.append(Shards.open(tars, sample_rate_hz, cache / "shards", name=name))
    return join(sources)


def _expand(word: str) -> list[str]:
    """Expand braces as shells do: `{08..11}` keeps leading zeros, `{a,b}` lists alternatives."""
    parts = _ALTERNATIVES.split(word)
    fixed, options = parts[::4], []
    for first, last, listed in zip(parts[1::4], parts[2::4], parts[3::4], strict=True):
        if listed is not None:
            options.append(listed.split(","))
        else:
            low, high = sorted((int(first), int(last)))
            numbers = range(low, high + 1)
            options.append([f"{number:0{len(first)}d}" for number in numbers])
    return [
        fixed[0] + "".join(map("".join, zip(chosen, fixed[1:], strict=True)))
        for chosen in product(*options)
    ]


def _find(path: Path) -> list[Path]:
    """List the audio files or tars that a path stands for."""
    if path.is_dir():
        return _find_in(path)
    if not path.is_file():
        raise CorpusError(
            f"{path}: not found; expected a folder of audio, a manifest .csv or a .tar; correct "
            "the path"
        )
    if path.suffix.lower() == ".csv":
        return manifest_paths(path)
    if path.suffix.lower() in SUFFIXES | _TAR:
        return [path]
    raise CorpusError(
        f"{path}: neither audio, .csv nor plain .tar by its name; expected one of these; "
        "decompress or convert it"
    )


def _find_in(folder: Path) -> list[Path]:
    if (folder / "manifest.csv").is_file():
        return manifest_paths(folder / "manifest.csv")
    found = find_files(folder, SUFFIXES | _TAR)
    if not found:
        raise CorpusError(
            f"{folder}: no audio found in it or below; expected files named .wav, .flac, .ogg, "
            ".mp3 ..., a manifest.csv, or tars; correct the path"
        )
    return found
