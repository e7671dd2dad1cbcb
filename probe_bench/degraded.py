"""The test clips of every task under every degradation asked for, and their features.

A clip is degraded, and encoded, once for all tasks that test it; frames are kept where a task reads
them. Degraded audio exists for test clips only. Whoever asks its features for a clip that some probe
trained on or was chosen on gets NaN or an error, never a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.agenda import reads_frames
from probe_bench.degradations import Degradation, Kind, LongTermSpectrum, long_term_spectrum
from probe_bench.features import Features
from probe_bench.jobs import Job
from probe_bench.survey import Survey

__all__ = ["DegradedPart", "DegradedTest", "degraded_tests"]


@dataclass(frozen=True, kw_only=True)
class DegradedPart:
    """Some clips of a corpus under one degradation.

    Attributes:
        name: Names the survey among all of a run.
        clips: Their numbers in the surveyed corpus.
        survey: Those clips, degraded.
        needs_frames: Whether any task reads single frames of them.
    """

    name: str
    clips: tuple[int, ...]
    survey: Survey
    needs_frames: bool


@dataclass(frozen=True, kw_only=True)
class DegradedTest:
    """The test clips of one task under one degradation.

    Attributes:
        job: The task.
        degradation: What is done to them.
        parts: Hold its clips, and perhaps clips that other tasks test.
    """

    job: Job
    degradation: Degradation
    parts: tuple[DegradedPart, ...]

    @property
    def clips(self) -> list[int]:
        """The test clips of any fold, as the job numbers them."""
        return _test_clips(self.job)

    def numbered(self, features: Mapping[str, Features]) -> Features:
        """Number features of the parts, by their names, as the job numbers its clips."""
        return _TestFeatures(self, [features[part.name] for part in self.parts])


def degraded_tests(
    kinds: Sequence[Kind], jobs: Sequence[Job], surveys: Mapping[str, Survey], seed: int
) -> list[DegradedTest]:
    """List the test clips of every task under every kind and severity.

    A fold's test clips may be another's training clips: they are degraded for its test alone.
    """
    spectra: dict[str, LongTermSpectrum] = {}
    corpora = dict.fromkeys(job.corpus.name for job in jobs)
    if any(kind.uses_spectrum for kind in kinds):
        for name in corpora:
            spectra[name] = long_term_spectrum([clip.path for clip in surveys[name].corpus])
    found = []
    for name in corpora:
        own = [job for job in jobs if job.corpus.name == name]
        divided = _divided(own)
        for kind in kinds:
            spectrum = spectra[name] if kind.uses_spectrum else None
            for severity in kind.severities:
                degradation = Degradation(
                    kind=kind, severity=severity, seed=seed, spectrum=spectrum
                )
                parts = [
                    _part(surveys[name], clips, degradation, needs_frames=needs_frames)
                    for clips, needs_frames in divided
                ]
                found += [_test(job, degradation, parts) for job in own]
    return found


def _test_clips(job: Job) -> list[int]:
    return sorted({clip for fold in job.folds for clip in fold.test})


def _divided(jobs: Sequence[Job]) -> list[tuple[list[int], bool]]:
    """Divide the test clips of all tasks on a corpus: those whose frames are read, and the others."""
    tested = [({job.clips[c] for c in _test_clips(job)}, reads_frames(job.task)) for job in jobs]
    framed = set().union(*(clips for clips, frames in tested if frames))
    others = set().union(*(clips for clips, _ in tested)) - framed
    return [(sorted(clips), frames) for clips, frames in ((framed, True), (others, False)) if clips]


def _part(
    looked: Survey, clips: Sequence[int], degradation: Degradation, *, needs_frames: bool
) -> DegradedPart:
    label = f"{looked.corpus.name}+{degradation.kind.name}"
    survey = looked.part(clips, label, degradation)
    return DegradedPart(
        name=f"{label} at {degradation.setting}, clips {survey.digest}",
        clips=tuple(clips),
        survey=survey,
        needs_frames=needs_frames,
    )


def _test(job: Job, degradation: Degradation, parts: Sequence[DegradedPart]) -> DegradedTest:
    wanted = {job.clips[clip] for clip in _test_clips(job)}
    holding = tuple(part for part in parts if not wanted.isdisjoint(part.clips))
    return DegradedTest(job=job, degradation=degradation, parts=holding)


class _TestFeatures:
    """Features of the test clips of a task under the task's own numbers; other clips have none."""

    def __init__(self, test: DegradedTest, features: Sequence[Features]) -> None:
        self.encoder, self.layers = features[0].encoder, features[0].layers
        self._features, self._n_clips = features, len(test.job.corpus)
        place = {
            clip: (part, row)
            for part, held in enumerate(test.parts)
            for row, clip in enumerate(held.clips)
        }
        self._place = {clip: place[test.job.clips[clip]] for clip in test.clips}

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        """Mean and standard deviation over each clip's frames; NaN for clips that have none."""
        known = [features.pooled(layer) for features in self._features]
        every = known[0].new_full((self._n_clips, known[0].shape[1]), torch.nan)
        for part, values in enumerate(known):
            clips, rows = self._rows(part)
            every[clips.to(every.device)] = values[rows.to(values.device)]
        return every

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        """Return the number of frames of every clip, 0 for clips that have none."""
        every = torch.zeros(self._n_clips, dtype=torch.long)
        for part, features in enumerate(self._features):
            clips, rows = self._rows(part)
            every[clips] = features.n_frames(layer)[rows]
        return every

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        """All frames of some clips, float32, one `frames dim` tensor a clip."""
        places = [self._place[clip] for clip in clips]
        return [self._features[part].frames(layer, [row])[0] for part, row in places]

    def _rows(self, part: int) -> tuple[Int[Tensor, " held"], Int[Tensor, " held"]]:
        """Clips that a part holds, as the task numbers them, and their rows in it."""
        pairs = [(clip, row) for clip, (where, row) in self._place.items() if where == part]
        clips, rows = torch.tensor(pairs).T
        return clips, rows
