"""Which clips of one corpus sound the same."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from probe_bench.leaks.fingerprint import Fingerprint
from probe_bench.leaks.matching import Match, find_repeats

__all__ = ["Copies", "find_copies"]


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Clips by what they sound like.

    Attributes:
        members: Clips of the same samples, for every content that two clips have or that sounds
            like another one.
        alike: Contents that sound the same, in both directions, the longest overlap first.
        unjudged: How many clips cannot be told apart, by reason.
    """

    members: dict[str, tuple[int, ...]]
    alike: dict[str, tuple[tuple[str, Match], ...]]
    unjudged: dict[str, int]


def find_copies(prints: Sequence[Fingerprint]) -> Copies:
    """Find the clips that sound the same; the order of the clips plays no role."""
    clips = defaultdict(list)
    for number, each in enumerate(prints):
        clips[each.content].append(number)
    contents = sorted(clips)  # by digest: work on common words is cut in an order of its own
    alike = defaultdict(list)
    for match in find_repeats([prints[clips[content][0]] for content in contents]):
        one, other = contents[match.clip], contents[match.other]
        alike[one].append((other, match))
        alike[other].append((one, match.turned()))
    ranked = {
        content: tuple(sorted(found, key=lambda each: (-each[1].overlap_s, each[0])))
        for content, found in alike.items()
    }
    reasons = Counter(each.unjudged for each in prints if each.unjudged)
    return Copies(
        members={c: tuple(clips[c]) for c in contents if len(clips[c]) > 1 or c in ranked},
        alike=ranked,
        unjudged=dict(sorted(reasons.items())),
    )
