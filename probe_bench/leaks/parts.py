"""What the parts of a run's tasks share: audio, and labels that a task does not keep apart."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from probe_bench.errors import CorpusError
from probe_bench.jobs import Job
from probe_bench.leaks.copies import Copies, find_copies
from probe_bench.leaks.fingerprint import Fingerprint
from probe_bench.leaks.matching import THRESHOLD
from probe_bench.leaks.table import GROUPS, Leak
from probe_bench.splits import Fold
from probe_bench.survey import Survey

__all__ = ["PartLeaks", "find_part_leaks", "refuse_leaks"]

_PARTS = ("train", "valid", "test")


@dataclass(frozen=True, kw_only=True)
class TaskLeaks:
    """What one task's parts share.

    Attributes:
        task: Name of the task.
        corpus: Name of the corpus.
        n_test: Clips that are tested in any fold.
        leaks: Audio and labels on two sides.
        within: Clips whose audio is in another clip of the same part, in any fold.
    """

    task: str
    corpus: str
    n_test: int
    leaks: tuple[Leak, ...]
    within: int

    @property
    def tested(self) -> tuple[Leak, ...]:
        """Audio of a test part that is in train or valid too."""
        return tuple(leak for leak in self.leaks if leak.is_audio and leak.part == "test")

    @property
    def line(self) -> str:
        """What to say of the audio of its test parts."""
        clips = {leak.clip for leak in self.tested}
        return (
            f"{self.task} on {self.corpus}: {len(clips)} of {self.n_test} test clips are also in "
            f"{' and '.join(sorted({leak.other_part for leak in self.tested}))}; "
            f"{self.tested[0]}"
        )

    def record(self) -> dict[str, Any]:
        """Return counts for `run.json`."""
        pairs = {(leak.part, leak.other_part, leak.clip) for leak in self.leaks if leak.is_audio}
        across = Counter(f"{part} in {other}" for part, other, _ in pairs)
        return {
            "task": self.task,
            "corpus": self.corpus,
            "clips": dict(sorted(across.items())),
            "within_a_part": self.within,
            "shared": [leak.note for leak in self.leaks if not leak.is_audio and not leak.fold],
            "line": self.line if self.tested else "",
        }


@dataclass(frozen=True, kw_only=True)
class PartLeaks:
    """What the parts of all tasks of a run share.

    Attributes:
        tasks: One for each task and corpus.
        judged: Clips that can be told apart, and all, by corpus.
        unjudged: How many cannot, by corpus and reason.
    """

    tasks: tuple[TaskLeaks, ...]
    judged: Mapping[str, tuple[int, int]]
    unjudged: Mapping[str, Mapping[str, int]]

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """All of them, for `leaks.csv`."""
        return tuple(leak for task in self.tasks for leak in task.leaks)

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each task whose test audio is also elsewhere."""
        return tuple(task.line for task in self.tasks if task.tested)

    @property
    def checked(self) -> bool:
        """Say whether any clip could be looked at."""
        return any(judged for judged, _ in self.judged.values())

    @property
    def coverage(self) -> str:
        """How many clips could be looked at."""
        return ", ".join(
            f"{judged} of {n} clips of {corpus} judged"
            + "".join(f", {count} {reason}" for reason, count in self.unjudged[corpus].items())
            for corpus, (judged, n) in self.judged.items()
        )

    def record(self) -> dict[str, Any]:
        """Return the summary for `run.json`."""
        return {
            "threshold": THRESHOLD,
            "coverage": self.coverage,
            "tasks": [task.record() for task in self.tasks],
        }


def find_part_leaks(jobs: Sequence[Job], surveys: Mapping[str, Survey]) -> PartLeaks:
    """Look for what train, valid and test of every fold share.

    Args:
        jobs: Tasks with their folds.
        surveys: Corpora with the fingerprints of their clips.
    """
    names = dict.fromkeys(job.corpus.name for job in jobs)
    copies = {name: find_copies(surveys[name].prints) for name in names}
    prints = {name: surveys[name].prints for name in names}
    return PartLeaks(
        tasks=tuple(_look(job, copies[job.corpus.name], prints[job.corpus.name]) for job in jobs),
        judged={
            name: (len(prints[name]) - sum(copies[name].unjudged.values()), len(prints[name]))
            for name in names
        },
        unjudged={name: copies[name].unjudged for name in names},
    )


def refuse_leaks(found: PartLeaks) -> None:
    """Refuse a run whose test audio is in train or valid too.

    Raises:
        CorpusError: Names the first task's first pair.
    """
    if found.lines:
        more = f" (and {len(found.lines) - 1} more tasks)" if found.lines[1:] else ""
        raise CorpusError(
            f"{found.lines[0]}{more}; remove one of the clips, give them one recording label, or "
            "leave --refuse-leaks out"
        )


def _look(job: Job, copies: Copies, prints: Sequence[Fingerprint]) -> TaskLeaks:
    """Look at every fold of one task."""
    leaks: list[Leak] = []
    within: set[int] = set()
    for number, fold in enumerate(job.folds):
        part_of = _parts(job, fold)
        shared = _shared_audio(job, number, copies, part_of, prints)
        leaks += sorted(shared, key=lambda leak: (leak.part, leak.clip, leak.other_part))
        leaks += _shared_labels(job, number, fold)
        within |= _within(copies, part_of)
    return TaskLeaks(
        task=job.task.name,
        corpus=job.corpus.name,
        n_test=len({i for fold in job.folds for i in fold.test}),
        leaks=tuple(leaks),
        within=len(within),
    )


def _parts(job: Job, fold: Fold) -> dict[int, str]:
    """Return the part of every clip of a fold, by its number in the surveyed corpus."""
    return {job.clips[i]: part for part in _PARTS for i in getattr(fold, part)}


def _shared_audio(
    job: Job,
    number: int,
    copies: Copies,
    part_of: Mapping[int, str],
    prints: Sequence[Fingerprint],
) -> Iterator[Leak]:
    """Yield a row for every clip and earlier part that holds the same sound, with the best match."""
    ids = {clip: job.corpus.clips[i].id for i, clip in enumerate(job.clips)}
    for content, members in copies.members.items():
        for clip in sorted((clip for clip in members if clip in part_of), key=ids.__getitem__):
            part = part_of[clip]
            for other_part in _PARTS[: _PARTS.index(part)]:
                found = [
                    (other, match)
                    for each, match in [(content, None), *copies.alike.get(content, ())]
                    for other in copies.members[each]
                    if part_of.get(other) == other_part
                ]
                if not found:
                    continue
                other, match = found[0]
                yield Leak(
                    kind="near" if match else "exact",
                    task=job.task.name,
                    corpus=job.corpus.name,
                    fold=number,
                    clip=ids[clip],
                    part=part,
                    other_clip=ids[other],
                    other_part=other_part,
                    similarity=match.similarity if match else 1.0,
                    overlap_s=match.overlap_s if match else prints[clip].duration_s,
                    offset_s=match.offset_s if match else 0.0,
                    note=f"and {len(found) - 1} more in {other_part}" if found[1:] else "",
                )


def _within(copies: Copies, part_of: Mapping[int, str]) -> set[int]:
    """Return the clips whose audio is in another clip of their own part."""
    return {
        clip
        for content, members in copies.members.items()
        for clip in members
        if clip in part_of
        and any(
            other != clip and part_of.get(other) == part_of[clip]
            for each in (content, *(alike for alike, _ in copies.alike.get(content, ())))
            for other in copies.members[each]
        )
    }


def _shared_labels(job: Job, number: int, fold: Fold) -> Iterator[Leak]:
    """Yield a row for every kind of label that two parts share without being told not to."""
    for kind in GROUPS:
        if kind in job.task.disjoint or kind == job.task.label:
            continue
        first: dict[str, dict[str, str]] = {part: {} for part in _PARTS}
        for part in _PARTS:
            for clip in (job.corpus.clips[i] for i in getattr(fold, part)):
                if kind in clip.labels:
                    first[part].setdefault(clip.labels[kind], clip.id)
        for part, other in (("valid", "train"), ("test", "train"), ("test", "valid")):
            shared = [value for value in first[part] if value in first[other]]
            if shared:
                yield Leak(
                    kind=kind,
                    task=job.task.name,
                    corpus=job.corpus.name,
                    fold=number,
                    clip=first[part][shared[0]],
                    part=part,
                    other_clip=first[other][shared[0]],
                    other_part=other,
                    similarity=None,
                    overlap_s=None,
                    offset_s=None,
                    note=f"{len(shared)} of {len(first[part])} {kind}s of {part} are also in {other}",
                )
