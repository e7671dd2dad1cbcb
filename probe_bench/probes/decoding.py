"""From the scores of a CTC head to phones: greedily, or by prefix beam search.

Row 0 of the scores is the blank.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from probe_bench.metrics import phone_errors

__all__ = ["BLANK", "beam_search", "collapse", "error_rate", "settle_blank", "spell"]

BLANK = 0
_BLANK_OFFSETS = (
    -2.0,
    -1.0,
    1.0,
    2.0,
    3.0,
    4.0,
)  # taken from its logit; 0 is the loss's own choice
_CLIPS_AT_ONCE = 256
_HASH_FACTOR = 6364136223846793005  # Knuth's, of MMIX


def collapse(winners: Int[Tensor, " frames"]) -> list[int]:
    """Merge repeats, then drop blanks."""
    merged = torch.unique_consecutive(winners.cpu()).tolist()
    return [row for row in merged if row != BLANK]


def spell(rows: Sequence[int], phones: Sequence[str]) -> str:
    """Write rows as phones, separated by spaces."""
    return " ".join(phones[row - 1] for row in rows)


def error_rate(references: list[str], hypotheses: list[str]) -> float:
    """Phone errors of all clips over their phones."""
    n_phones = sum(len(reference.split()) for reference in references)
    return float(phone_errors(references, hypotheses).sum()) / n_phones


def settle_blank(
    rates_at: Callable[[float], Sequence[float]], rates: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Choose on validation clips how much the blank is held back, for each head.

    Where a head is unsure, the CTC loss is lowest with blanks, and greedy decoding then drops most
    phones; after too little data it does the opposite. Beam search, which adds alignments up, needs
    another offset than greedy decoding.

    Args:
        rates_at: Error rate of each head with so much taken from the blank's logit.
        rates: Error rates with nothing taken.

    Returns:
        What to take, and the error rates then.
    """
    offsets, lowest = [0.0] * len(rates), list(rates)
    for offset in _BLANK_OFFSETS:
        for head, rate in enumerate(rates_at(offset)):
            if rate < lowest[head]:
                offsets[head], lowest[head] = offset, rate
    return offsets, lowest


def beam_search(scores: Sequence[Float[Tensor, "_ rows"]], width: int) -> list[list[int]]:
    """Search for the likeliest phones of each clip over all their alignments.

    Prefix beam search (Graves 2012, section 7.5; Hannun et al. 2014, algorithm 1, without a language
    model), all clips of a block at once. With `width` no less than the number of prefixes it is
    exact.

    Args:
        scores: Logits of each clip's frames.
        width: Prefixes kept after every frame.
    """
    found: list[list[int]] = []
    for first in range(0, len(scores), _CLIPS_AT_ONCE):
        block = scores[first : first + _CLIPS_AT_ONCE]
        lengths = torch.tensor([len(x) for x in block], device=block[0].device)
        log_p = pad_sequence([x.log_softmax(1) for x in block], batch_first=True)
        found += _search(log_p.double(), lengths, width)
    return found


@dataclass(frozen=True, kw_only=True)
class _Beams:
    """Prefixes of each clip; two are the same if and only if their hashes are.

    Attributes:
        blank: Log probability of all alignments so far that end in a blank; -inf: no such prefix.
        label: The same, ending in the prefix's last phone.
        last: Last phone; the blank for the empty prefix.
        name: Hash of the prefix.
        parent: Hash of the prefix without its last phone.
    """

    blank: Float[Tensor, "clips beams"]
    label: Float[Tensor, "clips beams"]
    last: Int[Tensor, "clips beams"]
    name: Int[Tensor, "clips beams"]
    parent: Int[Tensor, "clips beams"]

    @property
    def total(self) -> Float[Tensor, "clips beams"]:
        """Log probability of all alignments so far."""
        return torch.logaddexp(self.blank, self.label)

    def unless(self, ended: Bool[Tensor, "clips 1"], before: "_Beams") -> "_Beams":
        """Return the beams as they were where a clip has ended."""
        return _Beams(
            **{
                field.name: torch.where(
                    ended, getattr(before, field.name), getattr(self, field.name)
                )
                for field in fields(self)
            }
        )


def _search(
    log_p: Float[Tensor, "clips frames rows"], lengths: Int[Tensor, " clips"], width: int
) -> list[list[int]]:
    n_clips, n_frames, _ = log_p.shape
    beams = _only_empty(n_clips, width, log_p)
    origins, added = [], []
    for frame in range(n_frames):
        ended = (frame >= lengths).unsqueeze(1)
        beams, origin, row = _advance(beams, log_p[:, frame], ended)
        origins.append(origin)
        added.append(row)
    best = beams.total.argmax(1)
    return _trace(torch.stack(origins, 1).cpu(), torch.stack(added, 1).cpu(), best.tolist())


def _only_empty(n_clips: int, width: int, like: Float[Tensor, "..."]) -> _Beams:
    """Start with the empty prefix and places for others."""
    never = like.new_full((n_clips, width), -torch.inf)
    blank = never.clone()
    blank[:, 0] = 0.0
    # Places are told apart by hashes of their own, so that none is anyone's parent.
    name = torch.arange(1, width + 1, device=like.device).expand(n_clips, -1).clone()
    return _Beams(
        blank=blank,
        label=never,
        last=torch.full_like(name, BLANK),
        name=name,
        parent=torch.zeros_like(name),
    )


def _advance(
    beams: _Beams, log_p: Float[Tensor, "clips rows"], ended: Bool[Tensor, "clips 1"]
) -> tuple[_Beams, Int[Tensor, "clips beams"], Int[Tensor, "clips beams"]]:
    """Read one frame: every prefix stays, or grows by a phone; keep the likeliest.

    Returns:
        The new prefixes, the old place of each, and the phone it grew by (blank: it stayed).
    """
    width, n_rows = beams.last.shape[1], log_p.shape[1]
    last_p = log_p.gather(1, beams.last)
    stay_blank = beams.total + log_p[:, BLANK, None]
    stay_label = beams.label + last_p
    grown = beams.total.unsqueeze(2) + log_p.unsqueeze(1)
    # Its last phone again grows a prefix only after a blank; else it is the same phone still.
    grown.scatter_(2, beams.last.unsqueeze(2), (beams.blank + last_p).unsqueeze(2))
    grown[:, :, BLANK] = -torch.inf
    # A prefix whose parent is among the beams as well would be made again by growing the parent.
    clip, child, parent = _families(beams)
    phone = beams.last[clip, child]
    gain = grown[clip, parent, phone]
    stay_label[clip, child] = torch.logaddexp(stay_label[clip, child], gain)
    grown[clip, parent, phone] = -torch.inf

    stay = torch.logaddexp(stay_blank, stay_label)
    best, place = torch.cat([stay, grown.flatten(1)], 1).topk(width, 1)
    stays = place < width
    origin = torch.where(stays, place, (place - width) // n_rows)
    row = torch.where(stays, BLANK, (place - width) % n_rows)
    name = beams.name.gather(1, origin)
    after = _Beams(
        blank=torch.where(stays, stay_blank.gather(1, origin), -torch.inf),
        label=torch.where(stays, stay_label.gather(1, origin), best),
        last=torch.where(stays, beams.last.gather(1, origin), row),
        name=torch.where(stays, name, name * _HASH_FACTOR + row),
        parent=torch.where(stays, beams.parent.gather(1, origin), name),
    )
    same = torch.arange(width, device=origin.device).expand_as(origin)
    return (
        after.unless(ended, beams),
        torch.where(ended, same, origin),
        row.masked_fill(ended, BLANK),
    )


def _families(beams: _Beams) -> tuple[Int[Tensor, " pairs"], ...]:
    """Find all pairs of a prefix and its parent: clip, place of the prefix, place of the parent."""
    alive = beams.total > -torch.inf
    akin = beams.parent.unsqueeze(2) == beams.name.unsqueeze(1)
    return (akin & alive.unsqueeze(2) & alive.unsqueeze(1)).nonzero(as_tuple=True)


def _trace(
    origins: Int[Tensor, "clips frames beams"],
    rows: Int[Tensor, "clips frames beams"],
    best: Sequence[int],
) -> list[list[int]]:
    """Walk back from the best prefix of every clip."""
    found = []
    for origin, row, last in zip(origins.tolist(), rows.tolist(), best, strict=True):
        place, phones = last, []
        for before, grew_by in zip(reversed(origin), reversed(row), strict=True):
            if grew_by[place] != BLANK:
                phones.append(grew_by[place])
            place = before[place]
        found.append(phones[::-1])
    return found
