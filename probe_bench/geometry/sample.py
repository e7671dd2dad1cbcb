"""The frames that every geometry estimator reads: the same moments of the same clips for all encoders.

Frames of a clip are alike whatever the encoder, so what an estimator needs is many clips, not all
frames: up to 1024 clips, and of each the same number of *rounds*, one random moment from each of as
many equal stretches of the clip. A round holds one frame a clip, hence no two frames that lie near
each other in time. Moments are read from the nearest frame, so layers of any frame rates are
compared at common times.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.corpus import Clip, Corpus
from probe_bench.features import Features, nearest_frames
from probe_bench.geometry.jackknife import deal

__all__ = ["Sample", "draw", "embeddings", "picks"]

_CLIPS = 1024
_FRAMES = 1 << 14
_ROUNDS_HZ = 25  # at most so many frames a second: more would only repeat those of slow encoders
_CLIPS_IN_FLIGHT = 64
_GROUPS = ("speaker", "recording")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Which frames are read, and what is known about them.

    Attributes:
        clips: Numbers of the clips in the corpus, in random order.
        time_s: Moments of every clip.
        group: Independent unit of every clip.
        group_label: Label that says so: `speaker`, else `recording`, else `clip`.
        fold: Part of the jackknife that a clip leaves with.
        phone: Phone at every moment; -1 where there is none.
        speaker: Speaker of every clip; -1 where unknown.
    """

    clips: tuple[int, ...]
    time_s: Float[Tensor, "clips rounds"]
    group: Int[Tensor, " clips"]
    group_label: str
    fold: Int[Tensor, " clips"]
    phone: Int[Tensor, "clips rounds"]
    speaker: Int[Tensor, " clips"]

    @property
    def n_groups(self) -> int:
        """Number of independent units."""
        return int(self.group.max()) + 1

    @property
    def n_folds(self) -> int:
        """Number of parts of the jackknife."""
        return int(self.fold.max()) + 1


def draw(corpus: Corpus, seed: int) -> Sample:
    """Draw clips in turn from every group, and moments within them.

    Args:
        corpus: The clips.
        seed: Seed of the run; with the corpus's name it decides everything that is drawn.
    """
    digest = hashlib.sha256(json.dumps(["geometry", seed, corpus.name]).encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    label = next((name for name in _GROUPS if any(name in c.labels for c in corpus)), "clip")
    names = [clip.labels.get(label, f"clip {clip.id}") for clip in corpus]
    numbers = generator.permutation(_in_turn(names)[:_CLIPS]).tolist()
    clips = [corpus.clips[i] for i in numbers]
    most = int(median(clip.duration_s for clip in clips) * _ROUNDS_HZ)
    rounds = max(1, min(_FRAMES // len(clips), most))
    share = (np.arange(rounds) + generator.random((len(clips), rounds))) / rounds
    time_s = share * np.array([[clip.duration_s] for clip in clips])
    group = _number([names[i] for i in numbers])
    return Sample(
        clips=tuple(numbers),
        time_s=torch.from_numpy(time_s),
        group=group,
        group_label=label,
        fold=deal(group),
        phone=_phones(clips, time_s),
        speaker=_number([clip.labels.get("speaker") for clip in clips]),
    )


def picks(features: Features, layer: int, sample: Sample) -> Float[Tensor, "clips rounds dim"]:
    """Return the sampled frames of one layer."""
    place, parts = features.layers[layer], []
    for first in range(0, len(sample.clips), _CLIPS_IN_FLIGHT):
        block = slice(first, first + _CLIPS_IN_FLIGHT)
        frames = features.frames(layer, sample.clips[block])
        parts += [
            x[nearest_frames(time_s, place, len(x)).to(x.device)]
            for x, time_s in zip(frames, sample.time_s[block], strict=True)
        ]
    return torch.stack(parts)


def embeddings(features: Features, layer: int, sample: Sample) -> Float[Tensor, "clips dim"]:
    """Return the mean over all frames of every sampled clip."""
    pooled = features.pooled(layer)
    return pooled[torch.tensor(sample.clips, device=pooled.device), : features.layers[layer].dim]


def _in_turn(names: Sequence[str]) -> list[int]:
    """Order clips so that the first of every group comes before the second of any."""
    turns: dict[str, int] = defaultdict(int)
    keys = []
    for i, name in enumerate(names):
        keys.append((turns[name], name, i))
        turns[name] += 1
    return [i for _, _, i in sorted(keys)]


def _number(names: Sequence[str | None]) -> Int[Tensor, " names"]:
    """Number names by their first occurrence; None is -1."""
    known = {name: i for i, name in enumerate(dict.fromkeys(n for n in names if n is not None))}
    return torch.tensor([-1 if name is None else known[name] for name in names])


def _phones(
    clips: Sequence[Clip], time_s: Float[np.ndarray, "clips rounds"]
) -> Int[Tensor, "clips rounds"]:
    """Number the phone at every moment."""
    names: list[str | None] = []
    for clip, times in zip(clips, time_s, strict=True):
        segments = clip.phones or ()
        after = np.searchsorted([s.start_s for s in segments], times, side="right") - 1
        names += [
            segments[i].label if i >= 0 and time < segments[i].end_s else None
            for i, time in zip(after.tolist(), times.tolist(), strict=True)
        ]
    return _number(names).reshape(time_s.shape)
