"""Multitaper spectra of a flat table of signals, cut into segments that never cross clips.

Every segment is tapered by Slepian sequences of its own length and transformed at one common length,
so clips of any lengths share one frequency grid and one batched FFT; the resolution is that of each
segment, `NW / segment length`.

Source: Thomson 1982, Spectrum estimation and harmonic analysis, eq. 2.7 (eigenspectra).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.signal.windows import dpss
from torch import Tensor

__all__ = ["Segments", "cut", "eigenspectra"]

_SEGMENT_S = 5.12
_BUDGET = 1 << 23  # numbers in one batch of FFTs: bounds memory, not results


@dataclass(frozen=True, kw_only=True, eq=False)
class Segments:
    """Stretches of rows of a flat table.

    Attributes:
        rate_hz: Rows per second.
        start: First row of every segment.
        length: Rows of every segment.
        clip: Clip of every segment.
        n_fft: Common length of the transforms.
    """

    rate_hz: float
    start: Int[Tensor, " segments"]
    length: Int[Tensor, " segments"]
    clip: Int[Tensor, " segments"]
    n_fft: int

    @property
    def mod_freq_hz(self) -> Float[Tensor, " freqs"]:
        """Frequencies of the transforms, from 0 to half the rate."""
        freqs: Tensor = torch.fft.rfftfreq(self.n_fft, 1 / self.rate_hz, dtype=torch.float64)
        return freqs

    @property
    def median_s(self) -> float:
        """Median length in seconds; 0 if there is no segment."""
        return float(self.length.double().median()) / self.rate_hz if len(self.length) else 0.0


def cut(start: Int[Tensor, " clips"], length: Int[Tensor, " clips"], rate_hz: float) -> Segments:
    """Cut clips into segments of at most 5.12 s that overlap by half; short clips stay whole.

    Args:
        start: First row of every clip.
        length: Rows of every clip; clips with fewer than 8 rows (less than three tapers can use)
            are left out.
        rate_hz: Rows per second.
    """
    longest = max(8, round(_SEGMENT_S * rate_hz))
    usable = length >= 8
    clips = torch.arange(len(start), device=start.device)[usable]
    extra = (length[clips] - longest).clamp(min=0)
    # The fewest evenly spread segments that overlap by at least a half.
    count = 1 + (2 * extra / longest).ceil().long()
    which = torch.repeat_interleave(clips, count)
    number = torch.arange(len(which), device=start.device) - torch.repeat_interleave(
        count.cumsum(0) - count, count
    )
    steps = torch.repeat_interleave((count - 1).clamp(min=1), count)
    offset = torch.repeat_interleave(extra, count) * number // steps
    return Segments(
        rate_hz=rate_hz,
        start=start[which] + offset,
        length=length[which].clamp(max=longest),
        clip=which,
        n_fft=1 << (longest - 1).bit_length(),
    )


def eigenspectra(
    signal: Float[Tensor, "rows dim"], segments: Segments, time_bandwidth: float
) -> Iterator[tuple[slice, Tensor]]:
    """Yield batches of tapered Fourier transforms, weighted by the square root of their length.

    Args:
        signal: The flat table.
        segments: Where to cut it.
        time_bandwidth: NW: a spectral line is spread over `NW / length` to both sides. There are
            `2 NW - 1` tapers.

    Yields:
        A slice of segments and their transforms, complex `segments tapers dim freqs`.
    """
    if not len(segments.start):
        return
    tapers, row = _tapers(segments, time_bandwidth)
    padded = torch.cat([signal, signal.new_zeros(1, signal.shape[1])])
    steps = torch.arange(tapers.shape[-1], device=signal.device)
    batch = max(1, _BUDGET // (tapers.shape[1] * segments.n_fft * signal.shape[1]))
    for begin in range(0, len(segments.start), batch):
        part = slice(begin, begin + batch)
        inside = steps < segments.length[part, None]
        index = torch.where(inside, segments.start[part, None] + steps, len(signal))
        x = padded[index].transpose(1, 2)
        taper = tapers.to(signal)[row[part]]
        yield part, torch.fft.rfft(taper[:, :, None] * x[:, None], n=segments.n_fft)


def _tapers(segments: Segments, nw: float) -> tuple[Tensor, Tensor]:
    """Tapers of every distinct length, zero-padded to the longest, and which one a segment has."""
    lengths, row = torch.unique(segments.length, return_inverse=True)
    table = torch.zeros(len(lengths), round(2 * nw) - 1, int(lengths.max()))
    for i, length in enumerate(lengths.tolist()):
        table[i, :, :length] = torch.from_numpy(_slepian(length, nw) * length**0.5)
    return table, row


@lru_cache(maxsize=4096)
def _slepian(length: int, nw: float) -> NDArray[np.float64]:
    tapers: NDArray[np.float64] = dpss(length, nw, round(2 * nw) - 1)
    return tapers
