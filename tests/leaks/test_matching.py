"""Planted copies are found where they are, other takes of a sentence are not."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pytest

from probe_bench.leaks.fingerprint import FRAME_S, Fingerprint, fingerprint
from probe_bench.leaks.index import Index
from probe_bench.leaks.matching import THRESHOLD, find_matches, find_repeats

RATE_HZ = 16000
Takes = dict[tuple[int, int], np.ndarray]
Changes = Mapping[str, Callable[[np.ndarray], tuple[np.ndarray, int]]]


@pytest.fixture(scope="module")
def prints(takes: Takes) -> list[Fingerprint]:
    return [fingerprint(samples, RATE_HZ) for samples in takes.values()]


@pytest.mark.parametrize(
    "change",
    ["gain", "turned over", "16 bit", "44.1 kHz", "8 kHz", "mp3", "vorbis", "trimmed", "noise"],
)
def test_planted_copies_are_found_and_nothing_else(
    change: str, takes: Takes, prints: list[Fingerprint], changes: Changes
) -> None:
    changed = [changes[change](samples) for samples in list(takes.values())[::3]]
    found = find_matches(Index.of(prints), [fingerprint(*each) for each in changed])
    assert [(match.clip, match.other) for match in found] == [(k, 3 * k) for k in range(8)]
    shift_s = 3001 / RATE_HZ if change == "trimmed" else 0.0
    for match, (samples, rate_hz) in zip(found, changed, strict=True):
        assert match.similarity > THRESHOLD
        assert match.offset_s == pytest.approx(shift_s, abs=0.06)
        assert match.overlap_s == pytest.approx(len(samples) / rate_hz, abs=0.25)


def test_other_takes_of_a_sentence_are_not_found(prints: list[Fingerprint]) -> None:
    assert find_repeats(prints) == []


def test_takes_without_their_own_timing_would_be_found(takes: Takes) -> None:
    """The control of the test above: what keeps takes apart is their sound, not the search."""
    same = takes[0, 0] + 0.05 * takes[0, 1]
    assert len(find_repeats([fingerprint(x, RATE_HZ) for x in (takes[0, 0], same)])) == 1


def test_a_stretch_within_other_audio_is_found(takes: Takes) -> None:
    stretch = takes[1, 0][8000:32000]
    host = np.concatenate([takes[2, 0], stretch, takes[3, 0]])
    (match,) = find_repeats([fingerprint(takes[1, 0], RATE_HZ), fingerprint(host, RATE_HZ)])
    assert match.overlap_s == pytest.approx(1.5, abs=0.3)
    assert match.offset_s == pytest.approx(3.0 - 0.5, abs=0.03)
    assert match.turned().offset_s == -match.offset_s


def test_matches_are_those_of_comparing_every_pair_at_every_offset(
    takes: Takes, prints: list[Fingerprint], changes: Changes
) -> None:
    copies = [fingerprint(*changes["noise"](samples)) for samples in list(takes.values())[:2]]
    prints = prints[:6]
    threshold = 0.75
    found = find_matches(Index.of(prints), copies, threshold)
    slow = {
        (i, j)
        for i, copy in enumerate(copies)
        for j, other in enumerate(prints)
        if _most_similar(copy, other) >= threshold
    }
    assert {(match.clip, match.other) for match in found} == slow
    assert slow == {(0, 0), (1, 1)}


def _most_similar(one: Fingerprint, other: Fingerprint) -> float:
    """Compare 50 frames that tell something at every offset, bit by bit."""
    best, active, others_active = 0.0, one.active.tolist(), other.active.tolist()
    mine, theirs = one.words.tolist(), other.words.tolist()
    for shift in range(40 - len(one.words), len(other.words) - 40):
        wrong = [
            (mine[k] ^ theirs[k + shift]).bit_count()
            for k in range(max(0, -shift), min(len(mine), len(theirs) - shift))
            if active[k] and others_active[k + shift]
        ]
        for first in range(len(wrong) - 39):
            stretch = wrong[first : first + 50]
            best = max(best, 1 - 2 * sum(stretch) / 32 / len(stretch))
    return best


def test_the_order_of_clips_changes_nothing(takes: Takes, changes: Changes) -> None:
    sounds = [*takes.values(), *(changes["mp3"](x)[0] for x in list(takes.values())[:5])]
    prints = [fingerprint(samples, RATE_HZ) for samples in sounds]
    order = np.random.default_rng(3).permutation(len(prints)).tolist()

    def described(numbers: list[int]) -> set[tuple[frozenset[int], float, float]]:
        return {
            (frozenset((numbers[m.clip], numbers[m.other])), m.similarity, m.overlap_s)
            for m in find_repeats([prints[i] for i in numbers])
        }

    forward = described(list(range(len(prints))))
    assert len(forward) == 5
    assert described(order) == forward


def test_bands_and_frames_are_the_same_at_every_rate(takes: Takes, changes: Changes) -> None:
    words = {
        rate_hz: fingerprint(*changes[name](takes[0, 0])).words
        for name, rate_hz in (("44.1 kHz", 44100), ("8 kHz", 8000))
    }
    at_16_khz = fingerprint(takes[0, 0], RATE_HZ).words
    for other in words.values():
        n = min(len(other), len(at_16_khz))
        assert abs(len(other) - len(at_16_khz)) <= 1
        assert np.bitwise_count(other[:n] ^ at_16_khz[:n]).mean() < 2


def test_bits_are_signs_of_energy_differences() -> None:
    """A direct sum over a plain FFT, frame by frame, gives the same bits."""
    samples = np.random.default_rng(4).standard_normal(RATE_HZ).astype(np.float32)
    edges = np.geomspace(300, 3400, 34)
    energies = []
    for start in range(0, RATE_HZ - 2048 + 1, 320):
        spectrum = np.fft.rfft(samples[start : start + 2048] * np.hanning(2050)[1:-1], 2048)
        power, width = np.abs(spectrum) ** 2, RATE_HZ / 2048
        low, high = (np.arange(1025) - 0.5) * width, (np.arange(1025) + 0.5) * width
        shares = [np.clip(np.minimum(high, b) - np.maximum(low, a), 0, None) / width
                  for a, b in pairwise(edges)]  # fmt: skip
        energies.append([float(power @ share) for share in shares])
    smooth = np.array([np.sum(energies[k : k + 9], axis=0) for k in range(len(energies) - 8)])
    bits = [
        (now[m] - now[m + 1]) - (before[m] - before[m + 1]) > 0
        for before, now in zip(smooth, smooth[8:], strict=False)
        for m in range(32)
    ]
    words = fingerprint(samples, RATE_HZ).words
    assert np.unpackbits(words.view(np.uint8)).tolist() == bits
    assert len(words) * FRAME_S == pytest.approx(1.0 - 0.448, abs=0.03)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "why"),
    [
        (np.zeros(3 * RATE_HZ, np.float32), RATE_HZ, "silent or steady"),
        (np.full(3 * RATE_HZ, 0.1, np.float32), RATE_HZ, "silent or steady"),
        (np.sin(np.arange(3 * RATE_HZ) * 0.3).astype(np.float32), RATE_HZ, "silent or steady"),
        (np.random.default_rng(5).standard_normal(8000).astype(np.float32), RATE_HZ, "too short"),
        (np.random.default_rng(5).standard_normal(9).astype(np.float32), RATE_HZ, "too short"),
        (np.random.default_rng(5).standard_normal(9000).astype(np.float32), 4000, "rate too low"),
    ],
)
def test_what_cannot_be_told_apart_is_not_matched(
    samples: np.ndarray, rate_hz: int, why: str
) -> None:
    print_ = fingerprint(samples, rate_hz)
    assert print_.unjudged == why
    assert find_repeats([print_, print_]) == []
    assert print_.content == fingerprint(samples.copy(), rate_hz).content


def test_a_word_that_stands_everywhere_is_looked_up_in_bounded_work(takes: Takes) -> None:
    one = fingerprint(takes[0, 0], RATE_HZ)
    index = Index.of([one] * 300)
    assert len(index.diagonals([one])) < 300 * 8
    assert len(find_matches(index, [one])) >= 30


def test_nothing_to_index_and_nothing_to_look_up(prints: list[Fingerprint]) -> None:
    assert find_repeats([]) == []
    assert find_matches(Index.of([]), prints[:1]) == []
    assert find_matches(Index.of(prints[:1]), []) == []
