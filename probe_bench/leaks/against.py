"""What an evaluation corpus shares with pretraining audio."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from probe_bench.errors import AudioError
from probe_bench.leaks.index import Index
from probe_bench.leaks.matching import find_matches
from probe_bench.leaks.recordings import Heard, Piece, Recording, listen
from probe_bench.leaks.table import GROUPS, Kind, Leak

__all__ = ["Audience", "SharedAudio", "compare"]


@dataclass(kw_only=True)
class Audience:
    """What was heard of one side; grows with its speakers and recordings, not with its audio.

    Attributes:
        recordings: How many.
        seconds: Their length.
        unjudged: Pieces of up to two minutes that cannot be told from others, by reason.
        labels: For each kind of label its values, each with the first recording that has it.
        left_out: A line for each recording that is not usable.
    """

    recordings: int = 0
    seconds: float = 0.0
    unjudged: Counter[str] = field(default_factory=Counter)
    labels: dict[Kind, dict[str, str]] = field(default_factory=lambda: {k: {} for k in GROUPS})
    left_out: list[str] = field(default_factory=list)

    def note(self, heard: Heard) -> None:
        """Count one recording."""
        self.recordings += 1
        for kind, seen in self.labels.items():
            if kind in heard.recording.labels:
                seen.setdefault(heard.recording.labels[kind], heard.recording.name)
        self.unjudged.update(piece.print.unjudged for piece in heard.pieces if piece.print.unjudged)
        if heard.pieces:
            self.seconds += heard.pieces[-1].start_s + heard.pieces[-1].print.duration_s


@dataclass(frozen=True, kw_only=True)
class SharedAudio:
    """What two sides share.

    Attributes:
        leaks: Audio first, at most one row a pair of recordings; then labels.
        evaluation: What was heard of the one side.
        pretraining: And of the other.
    """

    leaks: tuple[Leak, ...]
    evaluation: Audience
    pretraining: Audience


def compare(
    evaluation: Iterable[Recording],
    pretraining: Iterable[Recording],
    *,
    corpus: str,
    index_pretraining: bool = False,
    skip_bad: bool = False,
    threads: int = 4,
    advance: Callable[[], object] = lambda: None,
) -> SharedAudio:
    """Find audio of an evaluation corpus in pretraining audio.

    One side is indexed (about 50 kB a minute), the other passes by and leaves nothing behind.

    Args:
        evaluation: Recordings of the one side.
        pretraining: Recordings of the other.
        corpus: Name of the evaluation corpus, for the rows.
        index_pretraining: Index that side, because it is the smaller one.
        skip_bad: Leave unusable recordings out.
        threads: Recordings decoded at once.
        advance: Called after each recording.

    Raises:
        AudioError: If a recording is unusable and `skip_bad` is off.
    """

    def usable(side: Iterable[Recording], audience: Audience) -> Iterator[Heard]:
        for heard in listen(side, threads=threads):
            advance()
            if heard.error and not skip_bad:
                raise AudioError(f"{heard.error} (--skip-bad leaves such recordings out)")
            if heard.error:
                audience.left_out.append(str(heard.error))
            else:
                audience.note(heard)
                yield heard

    one, other = Audience(), Audience()
    held, passing = usable(evaluation, one), usable(pretraining, other)
    if index_pretraining:
        held, passing = passing, held
    best: dict[tuple[str, str], Leak] = {}
    for leak in _meet(held, passing, corpus):
        found = _turned(leak) if index_pretraining else leak
        pair = (found.clip, found.other_clip)
        best[pair] = max(best.get(pair, found), found, key=_rank)
    rows = [best[pair] for pair in sorted(best)]
    return SharedAudio(
        leaks=(*rows, *_shared_labels(one, other, corpus)), evaluation=one, pretraining=other
    )


def _meet(held: Iterable[Heard], passing: Iterable[Heard], corpus: str) -> Iterator[Leak]:
    """Index one side, then look up the other; `clip` of every row is on the first side."""
    kept = [(heard.recording.name, piece) for heard in held for piece in heard.pieces]
    index = Index.of([piece.print for _, piece in kept])
    contents = defaultdict(list)
    for name, piece in kept:
        contents[piece.print.content].append((name, piece))
    for heard in passing:
        other = heard.recording.name
        for piece in heard.pieces:
            for name, same in contents.get(piece.print.content, ()):
                length_s = piece.print.duration_s
                offset_s = piece.start_s - same.start_s
                yield _leak("exact", corpus, name, other, 1.0, length_s, offset_s)
        for match in find_matches(index, [piece.print for piece in heard.pieces]):
            name, mine = kept[match.other]
            # t in `theirs` is t + match.offset_s in `mine`, each from the start of its piece.
            theirs: Piece = heard.pieces[match.clip]
            offset_s = theirs.start_s - mine.start_s - match.offset_s
            yield _leak("near", corpus, name, other, match.similarity, match.overlap_s, offset_s)


def _leak(
    kind: Kind,
    corpus: str,
    clip: str,
    other: str,
    similarity: float | None = None,
    overlap_s: float | None = None,
    offset_s: float | None = None,
    note: str = "",
) -> Leak:
    """Make a row about evaluation and pretraining."""
    return Leak(
        kind=kind,
        task="",
        corpus=corpus,
        fold=None,
        clip=clip,
        part="evaluation",
        other_clip=other,
        other_part="pretraining",
        similarity=similarity,
        overlap_s=overlap_s,
        offset_s=offset_s,
        note=note,
    )


def _turned(leak: Leak) -> Leak:
    """Return a row with its clips the other way round."""
    return replace(
        leak, clip=leak.other_clip, other_clip=leak.clip, offset_s=-(leak.offset_s or 0.0)
    )


def _rank(leak: Leak) -> tuple[bool, float, float]:
    return leak.kind == "exact", leak.overlap_s or 0.0, leak.similarity or 0.0


def _shared_labels(evaluation: Audience, pretraining: Audience, corpus: str) -> Iterator[Leak]:
    """Yield a row for every kind of label of which both sides have some value."""
    for kind in GROUPS:
        mine, theirs = evaluation.labels[kind], pretraining.labels[kind]
        shared = sorted(mine.keys() & theirs)
        if shared:
            note = f"{len(shared)} of {len(mine)} {kind} names are also there: {_some(shared)}"
            yield _leak(kind, corpus, mine[shared[0]], theirs[shared[0]], note=note)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if names[5:] else "")
