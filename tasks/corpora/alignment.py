"""From the synthesiser's events to phone segments that cover a clip.

espeak-ng reports where each phone begins, but counts the silence before it, such as the closure of
a stop, to the phone before. Silence is a stretch of samples that are next to zero, so it can be
found exactly.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from probe_bench.corpus import Segment
from probe_bench.tasks.corpora.espeak import SAMPLE_RATE_HZ, PhoneEvent, Utterance

__all__ = ["SILENCE", "segments", "speech_end_sample"]

SILENCE = "sil"

_STOPS = frozenset({"p", "b", "t", "d", "k", "g", "ch", "jh"})
_QUIET = 8  # of 32768, -72 dB; pauses of espeak-ng decay to zero within a millisecond
_LEAST_S = 0.02  # espeak-ng separates words by about 10 ms, which nobody would label
_CLOSURE_S = 0.06


def speech_end_sample(said: Utterance) -> int:
    """Sample at which the pause after the last phone begins."""
    after = (end for last, end in pairwise(_with_end(said)) if last.phone != SILENCE)
    return max((event.start_sample for event in after), default=len(said.samples))


def segments(said: Utterance, *, lead_s: float, duration_s: float) -> tuple[Segment, ...]:
    """Cover `[0, duration_s)` with phones and silence.

    Args:
        said: What was said; it begins `lead_s` into the clip.
        lead_s: Silence before it.
        duration_s: Length of the clip; what was said may be cut there.

    Returns:
        Segments without gaps. Silence before a stop is its closure, for up to 60 ms; other silence
        is `sil` if it is at least 20 ms long.
    """
    events = [PhoneEvent(start_sample=0, phone=SILENCE), *_refined(said)]
    starts_s = [0.0, *(lead_s + event.start_sample / SAMPLE_RATE_HZ for event in events[1:])]
    ends_s = [*starts_s[1:], duration_s]
    merged: list[Segment] = []
    for event, start_s, end_s in zip(events, starts_s, ends_s, strict=True):
        if merged and merged[-1].label == event.phone == SILENCE:
            start_s = merged.pop().start_s  # noqa: PLW2901
        if min(end_s, duration_s) > start_s:
            merged.append(Segment(start_s=start_s, end_s=min(end_s, duration_s), label=event.phone))
    return tuple(merged)


def _refined(said: Utterance) -> Iterator[PhoneEvent]:
    """Yield the phones with the silence before each taken from the phone before."""
    events = _with_end(said)
    held = 0  # samples that the phone at hand begins before its event
    for event, after in pairwise(events):
        yield PhoneEvent(start_sample=event.start_sample - held, phone=event.phone)
        held = 0
        if event.phone == SILENCE:
            continue
        quiet = _trailing_quiet(said.samples[event.start_sample : after.start_sample])
        if quiet < _LEAST_S * SAMPLE_RATE_HZ:
            continue
        if after.phone in _STOPS:
            held = min(quiet, round(_CLOSURE_S * SAMPLE_RATE_HZ))
        if quiet > held:
            yield PhoneEvent(start_sample=after.start_sample - quiet, phone=SILENCE)
    yield PhoneEvent(start_sample=events[-1].start_sample, phone=SILENCE)


def _with_end(said: Utterance) -> list[PhoneEvent]:
    return [*said.phones, PhoneEvent(start_sample=len(said.samples), phone=SILENCE)]


def _trailing_quiet(samples: NDArray[np.int16]) -> int:
    """Count the samples after the last one that is not quiet."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _QUIET)
    return len(samples) - 1 - int(loud[-1]) if len(loud) else len(samples)
