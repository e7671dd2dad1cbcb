"""Stretches of audio of one length that an encoder hears in one piece each.

A stretch is never longer than the encoder's window: no seam between windows, where context changes,
lies inside one. Clips of one speaker are joined end to end and cut, so short clips make
long stretches; clips of different speakers are never joined.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.audio import load
from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Encoder

__all__ = ["TOTAL_S", "Stretches", "cut_stretches"]

TOTAL_S = 160.0
"""Audio used: 16 stretches of 10 s, or more that are shorter."""

_LONGEST_S = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretches:
    """Audio of equal length, and whose it is.

    Attributes:
        waveform: One stretch a row.
        sample_rate_hz: Its rate.
        group: Independent unit of every stretch, numbered from 0.
    """

    waveform: Float[Tensor, "clips samples"]
    sample_rate_hz: int
    group: Int[Tensor, " clips"]

    @property
    def duration_s(self) -> Fraction:
        """Length of each, exactly."""
        return Fraction(self.waveform.shape[1], self.sample_rate_hz)

    @property
    def n_groups(self) -> int:
        """Independent units."""
        return int(self.group.max()) + 1 if len(self.group) else 0


def cut_stretches(
    corpus: Corpus, encoder: Encoder, *, group: str = "speaker", total_s: float = TOTAL_S
) -> Stretches:
    """Choose stretches evenly over the speakers of a corpus.

    Their length is 10 s, or the encoder's window, or what half of the speakers have, whichever is
    least. No choice is left to chance.

    Args:
        corpus: The clips.
        encoder: Its rate and window are used.
        group: Label whose values are the independent units; a clip without it is one of its own.
        total_s: Audio wanted.
    """
    rate_hz = encoder.sample_rate_hz
    owned: dict[str, list[Clip]] = defaultdict(list)
    for clip in corpus:
        owned[clip.labels.get(group, f"clip {clip.id}")].append(clip)
    each_s = [sum(clip.duration_s for clip in clips) for clips in owned.values()]
    longest_s = min(_LONGEST_S, median(each_s))
    n_samples = min(int(longest_s * rate_hz), encoder.window_samples or math.inf)
    able = [
        clips for clips, s in zip(owned.values(), each_s, strict=True) if s * rate_hz >= n_samples
    ]
    quotas = _quotas(able, math.ceil(total_s * rate_hz / n_samples), n_samples / rate_hz)
    parts = [
        _joined(clips, rate_hz, int(n_samples), quota)
        for clips, quota in zip(able, quotas, strict=True)
        if quota
    ]
    return Stretches(
        waveform=torch.cat([torch.zeros(0, int(n_samples)), *parts]),
        sample_rate_hz=rate_hz,
        group=torch.repeat_interleave(
            torch.tensor([len(part) for part in parts], dtype=torch.long)
        ),
    )


def _quotas(owned: Sequence[Sequence[Clip]], wanted: int, each_s: float) -> list[int]:
    """How many stretches each speaker gives: one of evenly spread speakers, or turns over all."""
    room = [int(sum(clip.duration_s for clip in clips) / each_s) for clips in owned]
    n = len(owned)
    if wanted <= n:
        chosen = {i * n // wanted for i in range(wanted)}
        return [int(i in chosen) for i in range(n)]
    quotas = [0] * n
    while sum(quotas) < min(wanted, sum(room)):
        for i in range(n):
            if quotas[i] < room[i] and sum(quotas) < wanted:
                quotas[i] += 1
    return quotas


def _joined(
    clips: Sequence[Clip], rate_hz: int, n_samples: int, quota: int
) -> Float[Tensor, "stretches samples"]:
    """Join clips end to end until there are `quota` stretches, or all of them."""
    joined: list[Tensor] = []
    for clip in clips:
        if sum(map(len, joined)) >= quota * n_samples:
            break
        joined.append(load(clip.path, rate_hz))
    audio = torch.cat(joined)
    n = min(quota, len(audio) // n_samples)
    return audio[: n * n_samples].view(n, n_samples)
