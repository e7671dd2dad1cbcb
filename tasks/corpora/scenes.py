"""Embedded scenes: one to four overlapping sound events over noise, for tagging.

Scenes share nothing, so the first are for training and more than half of them stay for testing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from probe_bench.corpus import EVERY_TASK, Clip, Corpus, CorpusSpec
from probe_bench.tasks.corpora.events import EVENTS
from probe_bench.tasks.corpora.recording import (
    RATE_HZ,
    Conditions,
    Samples,
    coloured_noise,
    record,
    to_int16,
)
from probe_bench.tasks.corpora.rendering import Sound, load_or_render

__all__ = ["CORPORA", "ScenePlan", "scene_sounds"]

_REVISION = "3"  # raise it with every change to what is rendered
_LICENCE = "CC0-1.0 (synthesised)"
_SCENE_SNR_DB = (-6.0, 30.0)  # of the events over the background
_EVENT_DB = (-6.0, 6.0)  # of one event against the scene's others, while it sounds
_COUNTS = (0.45, 0.3, 0.15, 0.1)  # shares of scenes with one to four events
_NOISE_SLOPE = (-1.8, -0.3)
# The background is part of the scene, so the recording adds next to no noise of its own.
_CONDITIONS = Conditions(
    eq_db=1.5,
    high_cut_hz=(6500.0, 9000.0),
    snr_db=(40.0, 50.0),
    level_db=(-29.0, -17.0),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenePlan:
    """What to render.

    Attributes:
        seed: Seed of everything.
        n_clips: Number of clips.
        duration_s: Length of each; at least 2, so that the slowest event sounds in half of it.
        n_train: How many of the first are the official train part; None for no official parts.
        n_valid: How many of those after are valid; the rest is test.
    """

    seed: int
    n_clips: int
    duration_s: float = 3.0
    n_train: int | None = None
    n_valid: int = 0


def scene_sounds(plan: ScenePlan) -> Iterator[Sound]:
    """Render clip after clip; no clip depends on another."""
    for i in range(plan.n_clips):
        rng = np.random.default_rng([plan.seed, i])
        tags = sorted(
            rng.choice(sorted(EVENTS), size=rng.choice(4, p=_COUNTS) + 1, replace=False).tolist()
        )
        samples = to_int16(
            record(_mix(tags, round(plan.duration_s * RATE_HZ), rng), _CONDITIONS, rng)
        )
        clip_id = f"scene-{i:04}"
        clip = Clip(
            id=clip_id,
            path=Path("audio", f"{clip_id}.flac"),
            duration_s=len(samples) / RATE_HZ,
            labels={"recording": clip_id},
            tags=tuple(tags),
            splits={} if plan.n_train is None else {EVERY_TASK: _part(plan, i)},
        )
        yield Sound(clip=clip, samples=samples)


def _part(plan: ScenePlan, i: int) -> str:
    n_train = plan.n_train or 0
    return "train" if i < n_train else "valid" if i < n_train + plan.n_valid else "test"


def _mix(tags: list[str], n_samples: int, rng: np.random.Generator) -> Samples:
    """Lay the events over a background of RMS 1, each at its own time and level."""
    scene = coloured_noise(n_samples, rng.uniform(*_NOISE_SLOPE), rng)
    snr_db = rng.uniform(*_SCENE_SNR_DB)
    for tag in tags:
        n = round(n_samples * rng.uniform(0.5, 1.0))
        start = rng.integers(n_samples - n + 1)
        event = _faded(EVENTS[tag](n, rng))
        gain = 10 ** ((snr_db + rng.uniform(*_EVENT_DB)) / 20) / np.sqrt(np.square(event).mean())
        scene[start : start + n] += gain * event
    return scene


def _faded(event: Samples) -> Samples:
    """Fade in and out over 10 ms."""
    ends = np.minimum(np.arange(len(event)), np.arange(len(event))[::-1])
    return event * np.minimum(1.0, ends / (0.01 * RATE_HZ))


def _load(folder: Path, *, name: str, plan: ScenePlan) -> Corpus:
    return load_or_render(
        folder,
        name=name,
        licence=_LICENCE,
        revision=_REVISION,
        sounds=partial(scene_sounds, plan),
    )


_SOURCE = "probe-bench, tasks/corpora/events.py"

CORPORA = (
    CorpusSpec(
        name="scenes",
        summary="1-4 of 16 synthetic sound events over noise, multi-label; 45 min",
        source=_SOURCE,
        licence=_LICENCE,
        embedded=True,
        load=partial(
            _load, name="scenes", plan=ScenePlan(seed=3, n_clips=900, n_train=360, n_valid=120)
        ),
    ),
    CorpusSpec(
        name="scenes-pretrain",
        summary="other scenes than `scenes`, for pretraining; 40 min",
        source=_SOURCE,
        licence=_LICENCE,
        embedded=True,
        load=partial(_load, name="scenes-pretrain", plan=ScenePlan(seed=4, n_clips=800)),
    ),
)
