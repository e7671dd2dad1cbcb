"""Cut long clips into windows and join their frames, in whole numbers.

Windows overlap by a quarter or more and start on multiples of the hop, so their frames fall on the
clip's own frame times; each frame is taken from the window in which it lies farther from the edge.
Annotations are plain types because TorchScript reads them.
"""

__all__ = ["first_frames", "window_starts"]


def window_starts(samples: int, window: int, hop: int) -> list[int]:
    """First sample of every window, spread evenly from the start of a clip to its end.

    Args:
        samples: Length of the clip.
        window: Length of a window; a clip no longer than this is one window of its own length.
        hop: Samples between frames.
    """
    last = max(0, samples - window) // hop
    widest = max(1, window * 3 // 4 // hop)
    gaps = (last + widest - 1) // widest
    return [last * index // max(gaps, 1) * hop for index in range(gaps + 1)]


def first_frames(
    starts: list[int], window: int, hop: int, first_numerator: int, first_denominator: int
) -> list[int]:
    """Number in the clip of the first frame that is taken from each window.

    Frame k is centred at f + k hop, with f = first_numerator / first_denominator. Frames centred
    before the middle m of the overlap of two windows come from the left one, so the right one begins
    with k = ceil((m - f) / hop), m = (left + window + right) / 2. Over the denominator 2 d hop the
    numerator is d (left + window + right) - 2 n.
    """
    firsts = [0]
    for index in range(1, len(starts)):
        twice_middle = starts[index - 1] + window + starts[index]
        above = first_denominator * twice_middle - 2 * first_numerator
        below = 2 * first_denominator * hop
        firsts.append(max((above + below - 1) // below, starts[index] // hop))
    return firsts
