"""What is classified: whole clips, or points on a fixed 20 ms grid within them.

Frame labels stand on their own 50 Hz grid and are read from the nearest encoder frame, so every
encoder is scored on the same units whatever its frame rate.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.corpus import Clip, Corpus
from probe_bench.features import Features, nearest_frames, pooled_of, reading_order
from probe_bench.probes.blocks import Block
from probe_bench.task import Task

__all__ = ["GRID_HZ", "Label", "UnitFeatures", "Units", "gather", "stream", "task_units", "thin"]

GRID_HZ = 50
_CLIPS_IN_FLIGHT = 64  # whose frames are read at once, however few are wanted
_ELEMENTS_IN_FLIGHT = 1 << 20  # of the features that are wanted

_MAX_POINTS = 1 << 32  # of a clip: 2.7 years

Label = str | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Units:
    """Labelled units of some clips, clip after clip.

    Attributes:
        clip: Clip index of each unit.
        time_s: Time of each unit within its clip; None for whole clips.
        labels: Class of each unit, or its tags.
    """

    clip: Int[np.ndarray, " units"]
    time_s: Float[np.ndarray, " units"] | None
    labels: tuple[Label, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def key(self) -> Int[np.ndarray, " units"]:
        """A number for each unit that no other unit of its corpus has; ascends by clip and time."""
        if self.time_s is None:
            return self.clip
        point = np.floor(self.time_s * GRID_HZ).astype(np.int64)
        key: Int[np.ndarray, " units"] = self.clip * _MAX_POINTS + point
        return key

    def take(self, index: Int[np.ndarray, " kept"]) -> "Units":
        """Return some of the units."""
        return Units(
            clip=self.clip[index],
            time_s=None if self.time_s is None else self.time_s[index],
            labels=tuple(self.labels[i] for i in index.tolist()),
        )


def task_units(task: Task, corpus: Corpus, clips: Sequence[int]) -> Units:
    """List the labelled units of some clips; frames outside all segments are no units."""
    if task.unit == "clip":
        labels = tuple(_clip_label(corpus.clips[i], task.label) for i in clips)
        return Units(clip=np.array(clips, dtype=np.int64), time_s=None, labels=labels)
    grids = [_grid(corpus.clips[i]) for i in clips]
    return Units(
        clip=np.repeat(np.array(clips, dtype=np.int64), [len(labels) for _, labels in grids]),
        time_s=np.concatenate([times for times, _ in grids] or [np.empty(0)]),
        labels=tuple(label for _, labels in grids for label in labels),
    )


def thin(units: Units, cap: int | None, seed: int) -> Units:
    """Keep `cap` units spread evenly: one at random from each of `cap` equal stretches."""
    if cap is None or len(units) <= cap:
        return units
    digest = hashlib.sha256(f"thin {seed} {len(units)} {cap}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    edges = np.arange(cap + 1) * len(units) // cap
    return units.take(generator.integers(edges[:-1], edges[1:]))


@dataclass(frozen=True, kw_only=True)
class UnitFeatures:
    """The features of units in one layer as `Blocks`: read piece by piece of the cache, never held."""

    features: Features
    layer: int
    units: Units

    @property
    def shape(self) -> tuple[int, int]:
        """Units and dimensions."""
        return len(self.units), self._first.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the blocks arrive."""
        return self._first.device

    @cached_property
    def _first(self) -> Float[Tensor, "rows dim"]:
        clips = self.units.clip[:1].tolist()
        if self.units.time_s is None:
            return pooled_of(self.features, self.layer, clips)
        return self.features.frames(self.layer, clips)[0][:1].clone()  # not the shard with it

    def __iter__(self) -> Iterator[Block]:
        by_clip = np.argsort(self.units.clip, kind="stable")
        clips, starts = np.unique(self.units.clip[by_clip], return_index=True)
        stops = np.append(starts[1:], len(by_clip))
        at_once = len(clips) if self.units.time_s is None else _CLIPS_IN_FLIGHT
        order = reading_order(self.features, clips.tolist())
        most = _ELEMENTS_IN_FLIGHT // self.shape[1]
        for some in _portions(order, stops - starts, most, at_once):
            places = [by_clip[starts[k] : stops[k]] for k in some]
            yield torch.from_numpy(np.concatenate(places)), self._read(clips[some], places)

    def _read(
        self, clips: Int[np.ndarray, " clips"], places: Sequence[Int[np.ndarray, " _"]]
    ) -> Float[Tensor, "block dim"]:
        """Read the units of some clips."""
        if self.units.time_s is None:
            pooled = pooled_of(self.features, self.layer, clips.tolist())
            return pooled.repeat_interleave(
                torch.tensor([len(p) for p in places], device=pooled.device), 0
            )
        frames = self.features.frames(self.layer, clips.tolist())
        times = [self.units.time_s[p] for p in places]
        return torch.cat(
            [
                x[_nearest(at, self.features, self.layer, len(x)).to(x.device)]
                for x, at in zip(frames, times, strict=True)
            ]
        )


def _portions(
    order: Int[np.ndarray, " clips"], sizes: Int[np.ndarray, " clips"], most: int, at_once: int
) -> Iterator[Int[np.ndarray, " some"]]:
    """Cut clips, in the order given, into portions of at most `most` units and `at_once` clips."""
    ends = sizes[order].cumsum()
    start = 0
    while start < len(order):
        room = (ends[start - 1] if start else 0) + most
        stop = int(np.searchsorted(ends, room, side="right"))
        stop = max(start + 1, min(stop, start + at_once))
        yield order[start:stop]
        start = stop


def gather(features: Features, layer: int, units: Units) -> Float[Tensor, "units dim"]:
    """Return the features of all units of one layer."""
    blocks = UnitFeatures(features=features, layer=layer, units=units)
    x = torch.empty(*blocks.shape, device=blocks.device)
    for places, block in blocks:
        x[places.to(x.device)] = block
    return x


def stream(
    features: Features, layer: int, units: Units
) -> Iterator[tuple[slice, Float[Tensor, "block dim"]]]:
    """Yield the features of the units of one layer in blocks of clips, with their places."""
    if units.time_s is None:
        pooled = features.pooled(layer)
        yield slice(0, len(units)), pooled[torch.from_numpy(units.clip).to(pooled.device)]
        return
    clips, starts = np.unique(units.clip, return_index=True)
    stops = np.append(starts[1:], len(units))
    for first in range(0, len(clips), _CLIPS_IN_FLIGHT):
        block = slice(first, first + _CLIPS_IN_FLIGHT)
        frames = features.frames(layer, clips[block].tolist())
        spans = list(zip(starts[block].tolist(), stops[block].tolist(), strict=True))
        picked = [
            x[_nearest(units.time_s[a:b], features, layer, len(x)).to(x.device)]
            for x, (a, b) in zip(frames, spans, strict=True)
        ]
        yield slice(spans[0][0], spans[-1][1]), torch.cat(picked)


def _nearest(
    times_s: Float[np.ndarray, " times"], features: Features, layer: int, n_frames: int
) -> Int[Tensor, " times"]:
    return nearest_frames(torch.from_numpy(times_s), features.layers[layer], n_frames)


def _clip_label(clip: Clip, label: str) -> Label:
    if label == "tags":
        return clip.tags or ()
    return clip.labels[label]


def _grid(clip: Clip) -> tuple[Float[np.ndarray, " points"], list[str]]:
    """Label grid points t_j = (j + ½) / 50 Hz by the segment [start, end) that holds them."""
    segments = clip.phones or ()
    times = (np.arange(int(clip.duration_s * GRID_HZ)) + 0.5) / GRID_HZ
    starts = np.array([s.start_s for s in segments])
    ends = np.array([s.end_s for s in segments])
    index = np.searchsorted(starts, times, side="right") - 1
    inside = (index >= 0) & (times < ends[index]) if segments else np.zeros(len(times), bool)
    return times[inside], [segments[i].label for i in index[inside].tolist()]
