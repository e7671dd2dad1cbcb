import itertools
import math
from collections import defaultdict

import pytest
import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

from probe_bench.probes.decoding import beam_search, collapse, settle_blank, spell


def likelihoods(log_p: Tensor) -> dict[tuple[int, ...], float]:
    """Probability of every labelling, by listing every alignment."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    n_frames, n_rows = log_p.shape
    for path in itertools.product(range(n_rows), repeat=n_frames):
        merged = [row for row, _ in itertools.groupby(path)]
        p = math.exp(sum(float(log_p[t, row]) for t, row in enumerate(path)))
        found[tuple(row for row in merged if row)] += p
    return found


def log_likelihood(scores: Tensor, rows: list[int]) -> float:
    """Log probability of a labelling by torch's CTC forward pass."""
    log_p = scores.double().log_softmax(1).unsqueeze(1)
    lengths = torch.tensor([len(scores)]), torch.tensor([len(rows)])
    return -float(ctc_loss(log_p, torch.tensor([rows]), *lengths, reduction="sum"))


@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_finds_the_likeliest_of_all_labellings(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    scores = [2 * torch.randn(n, 3, generator=g) for n in (1, 3, 5, 6)]
    for x, found in zip(scores, beam_search(scores, 200), strict=True):
        listed = likelihoods(x.double().log_softmax(1))
        assert tuple(found) == max(listed, key=lambda rows: listed[rows])


def test_the_best_labelling_need_not_be_that_of_the_best_alignment() -> None:
    """Graves 2012, figure 7.6: blanks win both frames, yet the phone is likelier than nothing."""
    scores = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
    assert collapse(scores.argmax(1)) == []
    assert beam_search([scores], 4) == [[1]]


def test_beams_of_eight_are_never_less_likely_than_greedy() -> None:
    g = torch.Generator().manual_seed(0)
    scores = [
        3 * torch.randn(int(n), 12, generator=g) for n in torch.randint(5, 40, (40,), generator=g)
    ]
    better = 0
    for x, found in zip(scores, beam_search(scores, 8), strict=True):
        gain = log_likelihood(x, found) - log_likelihood(x, collapse(x.argmax(1)))
        assert gain > -1e-9
        better += gain > 1e-6
    assert better > 10


def test_a_clip_is_decoded_alike_alone_and_beside_longer_ones() -> None:
    g = torch.Generator().manual_seed(1)
    scores = [torch.randn(n, 6, generator=g) for n in (4, 30, 17)]
    assert beam_search(scores, 5) == [beam_search([x], 5)[0] for x in scores]


def test_repeats_merge_unless_a_blank_is_between() -> None:
    winners = torch.tensor([0, 1, 1, 0, 1, 2, 2, 0])
    assert spell(collapse(winners), ("a", "b")) == "a a b"
    sure = torch.nn.functional.one_hot(winners, 3) * 20.0
    assert beam_search([sure], 3) == [[1, 1, 2]]


def test_the_blank_is_settled_for_each_head_alone() -> None:
    def rates(offset: float) -> list[float]:
        return [abs(offset - 2), 1 + offset**2]

    assert settle_blank(rates, rates(0.0)) == ([2.0, 0.0], [0.0, 1.0])
