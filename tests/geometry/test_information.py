"""Mutual information against scikit-learn, and its bias."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from probe_bench.geometry.information import codes, information, tables

N = 3000


@pytest.fixture
def labelled() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 6, N)
    code = np.where(rng.random(N) < 0.5, label, rng.integers(0, 9, N))
    return code, label, np.arange(N) % 5


def test_it_is_the_plain_estimate_less_its_expectation(
    labelled: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    code, label, fold = labelled
    found = information(tables(code, label, fold))
    shuffled = np.random.default_rng(1)
    null = np.mean([mutual_info_score(shuffled.permutation(label), code) for _ in range(200)])
    assert found.expected_bits * np.log(2) == pytest.approx(null, rel=0.05)
    for bits, left in zip(found.bits.tolist(), (None, *range(5)), strict=True):
        kept = fold != left
        expected = mutual_info_score(label[kept], code[kept]) - null * N / kept.sum()
        assert bits * np.log(2) == pytest.approx(expected, abs=2e-4)


def test_normalised_it_is_the_adjusted_score_where_entropies_agree() -> None:
    rng = np.random.default_rng(0)
    label = rng.permutation(np.arange(N) % 6)
    code = np.where(rng.random(N) < 0.7, label, rng.permutation(label))
    found = information(tables(code, label, np.zeros(N, int)))
    expected = adjusted_mutual_info_score(label, code)
    assert float(found.normalised[0]) == pytest.approx(expected, rel=2e-3)


def test_codes_that_say_nothing_and_codes_that_say_all() -> None:
    rng = np.random.default_rng(0)
    label, noise, fold = rng.integers(0, 40, N), rng.integers(0, 100, N), np.zeros(N, int)
    nothing = information(tables(noise, label, fold))
    assert float(nothing.bits[0]) == pytest.approx(0, abs=0.05)
    assert nothing.expected_bits > 0.5
    everything = information(tables(label * 2 + noise % 2, label, fold))
    assert float(everything.normalised[0]) == pytest.approx(1)


def test_counts_add_up(labelled: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    code, label, fold = labelled
    counts = tables(code, label, fold)
    assert counts.sum() == N
    assert counts[3, 2, 4] == ((fold == 3) & (code == 2) & (label == 4)).sum()


def test_clusters_are_found_and_seeded() -> None:
    rng = torch.Generator().manual_seed(0)
    label = torch.randint(0, 8, (N,), generator=rng)
    x = 20 * torch.randn(8, 5, generator=rng)[label] + torch.randn(N, 5, generator=rng)
    found = codes(x, 20, seed=3)
    assert np.array_equal(found, codes(x, 20, seed=3))
    about = information(tables(found, label.numpy(), np.zeros(N, int)))
    assert float(about.normalised[0]) > 0.97
