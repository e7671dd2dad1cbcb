"""Clips, their labels and the corpus that holds them.

Conventions:
    Times are seconds from the first sample of the clip. A label that holds for the whole clip
    (speaker, emotion, recording, text, digit ...) lives in `Clip.labels` under its own name; the
    same names serve as *groups* wherever a split or a bootstrap has to keep clips together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

from probe_bench.errors import CorpusError

__all__ = ["EVERY_TASK", "Clip", "Corpus", "CorpusSpec", "Part", "Segment", "Trial"]

Part = Literal["train", "valid", "test"]

EVERY_TASK = "*"
"""Key of `Clip.splits` for a part that holds for every task without one of its own."""

_FEWEST_SPEAKERS = 8
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A labelled stretch of a clip, `[start_s, end_s)`."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One stretch of mono audio with its labels.

    Attributes:
        id: Unique within the corpus; stable across machines (never an absolute path).
        path: Audio file that soundfile can read.
        duration_s: Length as the file's header states it.
        labels: Labels and groups of the whole clip by name, e.g. `speaker`, `emotion`, `recording`.
        tags: Sound classes present, for multi-label tagging; None where tags are unknown.
        phones: Time-aligned phone segments in order; None where there is no alignment.
        phone_sequence: Phones in order without times; None where unknown.
        splits: Official part by task name: `train`, `valid`, `test`, or `fold:K`; under
            `EVERY_TASK` for all tasks that have none of their own.
    """

    id: str
    path: Path
    duration_s: float
    labels: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] | None = None
    phones: tuple[Segment, ...] | None = None
    phone_sequence: tuple[str, ...] | None = None
    splits: Mapping[str, str] = field(default_factory=dict)

    def has_label(self, label: str) -> bool:
        """Say whether this clip carries `label` (`tags`, `phones`, `phone_sequence` or a name)."""
        if label in ("tags", "phones", "phone_sequence"):
            return getattr(self, label) is not None
        return label in self.labels

    def record(self) -> dict[str, object]:
        """Return everything about the clip that is not audio, ready for JSON."""
        return {
            "id": self.id,
            "labels": dict(sorted(self.labels.items())),
            "tags": self.tags,
            "phones": [[s.start_s, s.end_s, s.label] for s in self.phones or ()],
            "phone_sequence": self.phone_sequence,
            "splits": dict(sorted(self.splits.items())),
        }

    def __post_init__(self) -> None:
        for part in self.splits.values():
            if part not in get_args(Part) and not part.startswith("fold:"):
                raise CorpusError(
                    f"{self.path}: split {part!r}; expected train, valid, test or fold:K"
                )
        for segment in self.phones or ():
            if not 0 <= segment.start_s < segment.end_s <= self.duration_s + 0.025:
                raise CorpusError(
                    f"{self.path}: segment {segment.label!r} at {segment.start_s:g}-"
                    f"{segment.end_s:g} s lies outside the clip (0-{self.duration_s:g} s); "
                    "check that labels are in seconds and belong to this file"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """An official pair of clips, by their ids, and whether one speaker says both."""

    same: bool
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Clips with licence and revision.

    Attributes:
        name: Name on the command line and in every result row.
        clips: In a fixed order that does not depend on the file system.
        licence: Licence of the audio.
        revision: Version of the data or of the synthesiser that made it.
        trials: Official verification trials; may name clips that were left out since.
    """

    name: str
    clips: tuple[Clip, ...]
    licence: str
    revision: str
    trials: tuple[Trial, ...] = ()

    def __post_init__(self) -> None:
        ids = [clip.id for clip in self.clips]
        if len(set(ids)) != len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise CorpusError(f"corpus {self.name}: clip id {twice!r} stands twice; ids are unique")
        if not self.clips:
            raise CorpusError(f"corpus {self.name}: no clips found; check the folder")

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    @property
    def duration_s(self) -> float:
        """Total length of all clips in seconds."""
        return sum(clip.duration_s for clip in self.clips)

    def with_label(self, label: str) -> "Corpus | None":
        """Return the clips that carry `label`, or None if there are none."""
        clips = tuple(clip for clip in self.clips if clip.has_label(label))
        return replace(self, clips=clips) if clips else None

    def limit(self, n: int) -> "Corpus":
        """Return at most `n` clips, spread evenly over the corpus.

        Where every clip has a speaker, few speakers keep most of their clips instead of many
        keeping one or two, so that what is left can still be divided for every task.
        """
        if n >= len(self.clips):
            return self
        groups = self._speakers() or [[i] for i in range(len(self))]
        n_groups = min(n, len(groups), max(_FEWEST_SPEAKERS, round(n * len(groups) / len(self))))
        quotas = [len(part) for part in (range(n)[k::n_groups] for k in range(n_groups))]
        kept = [
            clip
            for group, quota in zip(_evenly(groups, n_groups), quotas, strict=True)
            for clip in _evenly(group, quota)
        ]
        return replace(self, clips=tuple(self.clips[i] for i in sorted(kept)))

    def _speakers(self) -> list[list[int]]:
        """Return the clips of each speaker, nothing if any speaker is unknown."""
        speakers: dict[str, list[int]] = defaultdict(list)
        for i, clip in enumerate(self.clips):
            speakers[clip.labels.get("speaker", "")].append(i)
        return [] if "" in speakers else list(speakers.values())


def _evenly(items: Sequence[T], n: int) -> list[T]:
    """Return `n` items, or all if there are fewer, at even distances."""
    n = min(n, len(items))
    return [items[i * len(items) // n] for i in range(n)]


@dataclass(frozen=True, kw_only=True)
class CorpusSpec:
    """What a module under `tasks/corpora/` lists in `CORPORA`; importable without torch.

    Attributes:
        name: Name on the command line.
        summary: One line for `probe-bench list corpora`.
        source: Paper or page that defines the data set.
        licence: Licence of the audio.
        embedded: True if `load` synthesises the corpus into the given (cache) folder at first use;
            False if it reads the data set's official layout from the user's folder.
        load: Read (or make) the corpus in a folder.
    """

    name: str
    summary: str
    source: str
    licence: str
    embedded: bool = False
    load: Callable[[Path], Corpus]
