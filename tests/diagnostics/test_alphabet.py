import itertools
import math

import pytest
import torch

from probe_bench.diagnostics.alphabet import encode, known, uniform_bits


def test_probabilities_of_all_classes_sum_to_one_whatever_was_seen() -> None:
    seen = known(torch.tensor([0, 0, 3, 1, 3]), 7)
    logits = torch.randn(4, 3, dtype=torch.float64)
    every = torch.stack([seen.bits(logits, torch.full((4,), k)) for k in range(7)])
    torch.testing.assert_close((2**-every).sum(0), torch.ones(4, dtype=torch.float64))
    new = (4 / 2) / (5 + 7 / 2)  # four of seven classes are new after five units
    torch.testing.assert_close(2 ** -every[2], torch.full((4,), new / 4, dtype=torch.float64))
    softmax = logits.softmax(1) * (1 - new)
    torch.testing.assert_close(2 ** -every[[0, 1, 3]].T, softmax)
    prior = torch.stack([seen.prior_bits(torch.tensor([k])) for k in range(7)])
    assert float((2**-prior).sum()) == pytest.approx(1)


def test_probabilities_of_all_sets_of_tags_sum_to_one() -> None:
    targets = torch.tensor([[True, False, True], [True, False, False], [True, True, False]])
    seen = known(targets, 3)
    assert seen.columns.tolist() == [1, 2]  # all three carry the first tag
    logits = torch.tensor([[0.7, -1.2]])
    total, by_hand = 0.0, 0.0
    for tags in itertools.product([False, True], repeat=3):
        bits = float(seen.bits(logits, torch.tensor([tags])))
        total += 2**-bits
        p = [3.5 / 4, 1 / (1 + math.exp(-0.7)), 1 / (1 + math.exp(1.2))]
        by_hand = math.prod(q if tag else 1 - q for q, tag in zip(p, tags, strict=True))
        assert 2**-bits == pytest.approx(by_hand, rel=1e-6)
    assert total == pytest.approx(1)
    assert seen.predicted(logits).shape == (1, 3)


def test_labels_become_numbers_and_the_uniform_code_costs_what_it_must() -> None:
    classes = ("a", "b", "c", "d")
    index = encode(("b", "d", "a"), classes)
    assert index.tolist() == [1, 3, 0]
    assert uniform_bits(index, 4) == 2
    tags = encode((("a", "c"), ()), classes)
    assert tags.tolist() == [[True, False, True, False], [False] * 4]
    assert uniform_bits(tags, 4) == 4
