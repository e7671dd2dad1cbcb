"""The test clips of every task under every degradation asked for, and their features.

Degraded audio exists for test clips only. Whoever asks its features for a clip that some probe
trained on or was chosen on gets NaN or an error, never a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.agenda import reads_frames
from probe_bench.degradations import Degradation, Kind, LongTermSpectrum, long_term_spectrum
from probe_bench.features import Features
from probe_bench.jobs import Job
from probe_bench.survey import Survey

__all__ = ["DegradedTest", "degraded_tests"]


@dataclass(frozen=True, kw_only=True)
class DegradedTest:
    """The test clips of one task under one degradation.

    Attributes:
        name: Names the survey among all of a run; tasks that test the same clips share it.
        job: The task.
        clips: The test clips of any fold, as the job numbers them.
        survey: Those clips, degraded.
        degradation: What is done to them.
    """

    name: str
    job: Job
    clips: tuple[int, ...]
    survey: Survey
    degradation: Degradation

    @property
    def needs_frames(self) -> bool:
        """Say whether the task reads single frames."""
        return reads_frames(self.job.task)

    def numbered(self, features: Features) -> Features:
        """Number features of the survey as the job numbers its clips."""
        return _TestFeatures(features, self.clips, len(self.job.corpus))


def degraded_tests(
    kinds: Sequence[Kind], jobs: Sequence[Job], surveys: Mapping[str, Survey], seed: int
) -> list[DegradedTest]:
    """List the test clips of every task under every kind and severity.

    A fold's test clips may be another's training clips: they are degraded for its test alone.
    """
    spectra: dict[str, LongTermSpectrum] = {}
    if any(kind.uses_spectrum for kind in kinds):
        for name in dict.fromkeys(job.corpus.name for job in jobs):
            spectra[name] = long_term_spectrum([clip.path for clip in surveys[name].corpus])
    return [
        _degraded(job, kind, severity, surveys[job.corpus.name], seed, spectra)
        for job in jobs
        for kind in kinds
        for severity in kind.severities
    ]


def _degraded(
    job: Job,
    kind: Kind,
    severity: float,
    looked: Survey,
    seed: int,
    spectra: Mapping[str, LongTermSpectrum],
) -> DegradedTest:
    clips = sorted({clip for fold in job.folds for clip in fold.test})
    spectrum = spectra[job.corpus.name] if kind.uses_spectrum else None
    degradation = Degradation(kind=kind, severity=severity, seed=seed, spectrum=spectrum)
    label = f"{job.corpus.name}+{kind.name}"
    part = looked.part([job.clips[clip] for clip in clips], label, degradation)
    return DegradedTest(
        name=f"{label} at {degradation.setting}, clips {part.digest}",
        job=job,
        clips=tuple(clips),
        survey=part,
        degradation=degradation,
    )


class _TestFeatures:
    """Features of some clips of a corpus under the corpus' own numbers; the others have none."""

    def __init__(self, features: Features, clips: Sequence[int], n_clips: int) -> None:
        self.encoder, self.layers = features.encoder, features.layers
        self._features, self._clips, self._n_clips = features, torch.tensor(clips), n_clips

    @cached_property
    def _place(self) -> dict[int, int]:
        return {clip: place for place, clip in enumerate(self._clips.tolist())}

    def pooled(self, layer: int) -> Float[Tensor, "clips stats"]:
        """Mean and standard deviation over each clip's frames; NaN for clips that have none."""
        known = self._features.pooled(layer)
        every = known.new_full((self._n_clips, known.shape[1]), torch.nan)
        every[self._clips.to(known.device)] = known
        return every

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        """Return the number of frames of every clip, 0 for clips that have none."""
        every = torch.zeros(self._n_clips, dtype=torch.long)
        every[self._clips] = self._features.n_frames(layer)
        return every

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        """All frames of some clips, float32, one `frames dim` tensor a clip."""
        return self._features.frames(layer, [self._place[clip] for clip in clips])
