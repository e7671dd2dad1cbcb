"""Cut a clip into windows so that the frames of all windows join into one regular series.

An encoder with a longest input (its training crop, its fixed positions) sees long clips in windows of
exactly that length. Windows start on the *frame grid*, the least common multiple of all layers' hops,
so a window's frames fall on the clip's own frame times: the k-th joined frame of a layer is centred at
`first_frame_s + k / frame_rate_hz`, as if the clip had been encoded whole. Neighbours overlap by a
quarter of a window or more and each frame is taken from the window in which it lies farther from the
edge, so that its context is never shorter than an eighth of a window.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from probe_bench.encoder import Encoder, Layer
from probe_bench.errors import AudioError

__all__ = ["Window", "cut", "grid_samples", "hop_samples", "longest_samples"]

_LONGEST_S = 30  # for encoders without a limit: bounds the memory of self-attention
_OVERLAP = Fraction(1, 4)  # of a window, at least


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One piece of a clip and the frames of it that are kept.

    Attributes:
        start: First sample.
        length: Number of samples.
        keep: For each layer the window's own frames that go into the clip's series.
    """

    start: int
    length: int
    keep: tuple[slice, ...]


def cut(n_samples: int, encoder: Encoder) -> tuple[Window, ...]:
    """Cut a clip into windows, evenly spread from its start to its end.

    A clip no longer than the window is one window of its own length. The last window of a longer
    clip ends less than one step of the frame grid before the clip does.

    Args:
        n_samples: Length of the clip at the encoder's sample rate.
        encoder: Its layers' hops, `min_samples` and `window_samples` are used.

    Raises:
        AudioError: If the clip is too short to give a frame.
    """
    if n_samples < encoder.min_samples:
        raise AudioError(
            f"{n_samples} samples at {encoder.sample_rate_hz} Hz; {encoder.name} needs at least "
            f"{encoder.min_samples}; remove the clip or pad it with its context"
        )
    longest = longest_samples(encoder)
    starts = _starts(n_samples, longest, grid_samples(encoder))
    seams = [
        [_seam(left, right, longest, layer, encoder.sample_rate_hz) for layer in encoder.layers]
        for left, right in pairwise(starts)
    ]
    firsts = [[0] * len(encoder.layers), *seams]
    return tuple(
        Window(
            start=start,
            length=min(n_samples, longest),
            keep=tuple(
                slice(
                    firsts[index][layer] - offset,
                    seams[index][layer] - offset if index < len(seams) else None,
                )
                for layer, offset in enumerate(_offsets(start, encoder))
            ),
        )
        for index, start in enumerate(starts)
    )


def hop_samples(layer: Layer, sample_rate_hz: int) -> Fraction:
    """Distance between two frames of a layer in samples, exactly."""
    return sample_rate_hz / layer.frame_rate_hz


def grid_samples(encoder: Encoder) -> int:
    """Least number of samples that is a whole number of frames in every layer.

    A hop in lowest terms p/q divides the whole number n exactly when p divides n, so the grid is the
    least common multiple of the numerators.
    """
    return math.lcm(
        *(hop_samples(layer, encoder.sample_rate_hz).numerator for layer in encoder.layers)
    )


def longest_samples(encoder: Encoder) -> int:
    """Longest waveform that is encoded in one piece."""
    return encoder.window_samples or _LONGEST_S * encoder.sample_rate_hz


def _starts(n_samples: int, longest: int, grid: int) -> list[int]:
    """Spread as few windows as the overlap allows evenly over the grid."""
    last = max(0, n_samples - longest) // grid
    widest = max(1, int(longest * (1 - _OVERLAP)) // grid)
    # ceil(last / widest) gaps of floor or ceil(last / gaps) grid steps each, so none is over `widest`.
    gaps = -(-last // widest)
    return [last * index // gaps * grid for index in range(gaps + 1)] if gaps else [0]


def _seam(left: int, right: int, longest: int, layer: Layer, sample_rate_hz: int) -> int:
    """Index in the clip of the first frame that is taken from the right of two windows.

    Frames centred before the middle of the overlap `[right, left + longest)` come from the left.
    """
    hop = hop_samples(layer, sample_rate_hz)
    middle = Fraction(left + longest + right, 2) - layer.first_frame_s * sample_rate_hz
    return max(math.ceil(middle / hop), int(right / hop))


def _offsets(start: int, encoder: Encoder) -> list[int]:
    """Index in the clip of a window's first frame, for each layer."""
    return [int(start / hop_samples(layer, encoder.sample_rate_hz)) for layer in encoder.layers]
