"""Exact nearest neighbours: against scikit-learn, whatever the blocks, and with ties."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import Tensor

from probe_bench.probes.neighbours import nearest, votes

BLOCKS = [(1, 1), (7, 13), (64, 5), (512, 8192)]
TEMPERATURE = 0.07


def unit(n: int, dim: int, seed: int) -> Tensor:
    x = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x, dim=1)


@pytest.fixture
def data() -> tuple[Tensor, Tensor, Tensor]:
    targets = torch.randint(0, 5, (90,), generator=torch.Generator().manual_seed(2))
    return unit(40, 12, 0), unit(90, 12, 1), targets


def test_neighbours_are_those_of_sklearn(data: tuple[Tensor, Tensor, Tensor]) -> None:
    queries, keys, _ = data
    found = NearestNeighbors(n_neighbors=20, metric="cosine", algorithm="brute").fit(keys)
    distance, index = found.kneighbors(queries)
    cosine, ours = nearest(queries, keys, 20)
    assert np.array_equal(ours, index)
    np.testing.assert_allclose(cosine, 1 - distance, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 7, 50, 90])
def test_votes_are_those_of_sklearn(data: tuple[Tensor, Tensor, Tensor], k: int) -> None:
    queries, keys, targets = data

    def weigh(distance: np.ndarray) -> np.ndarray:
        return np.exp((1 - distance) / TEMPERATURE)

    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=weigh)
    model.fit(keys.double(), targets)
    shares = votes(*nearest(queries, keys, 90), targets, 5, [90, k], TEMPERATURE)[1]
    np.testing.assert_allclose(shares, model.predict_proba(queries.double()), atol=1e-5)
    assert shares.argmax(1).tolist() == model.predict(queries.double()).tolist()


def test_tags_get_the_mean_of_the_neighbours_membership(
    data: tuple[Tensor, Tensor, Tensor],
) -> None:
    queries, keys, _ = data
    tags = torch.rand(90, 4, generator=torch.Generator().manual_seed(3)) < 0.4
    shares = votes(*nearest(queries, keys, 10), tags, 4, [10, 3], TEMPERATURE)
    cosine = (queries.double() @ keys.double().T).numpy()
    for row, (ten, three) in enumerate(zip(*shares, strict=True)):
        order = np.argsort(-cosine[row])
        for k, found in ((10, ten), (3, three)):
            weights = np.exp(cosine[row, order[:k]] / TEMPERATURE)
            expected = np.average(tags[order[:k]].double(), axis=0, weights=weights)
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_decide_memory_and_not_the_neighbours(
    data: tuple[Tensor, Tensor, Tensor], block: tuple[int, int]
) -> None:
    queries, keys, _ = data
    cosine, index = nearest(queries, keys, 20, block=block)
    assert torch.equal(index, nearest(queries, keys, 20)[1])
    torch.testing.assert_close(cosine, nearest(queries, keys, 20)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("block", BLOCKS)
def test_of_equally_near_keys_the_first_are_taken(block: tuple[int, int]) -> None:
    # Entries of +-1/4 in 16 dimensions: unit vectors whose products are exact, so many tie.
    generator = torch.Generator().manual_seed(0)
    queries, keys = (
        (torch.randint(0, 2, (n, 16), generator=generator).float() * 2 - 1) / 4 for n in (20, 60)
    )
    exact = (queries @ keys.T).numpy()
    expected = np.argsort(-exact, axis=1, kind="stable")[:, :25]
    cosine, index = nearest(queries, keys, 25, block=block)
    assert np.array_equal(index, expected)
    assert np.array_equal(cosine, np.take_along_axis(exact, expected, 1))
    assert (np.diff(cosine) == 0).mean() > 0.5


def test_votes_do_not_depend_on_how_many_are_counted_at_once(
    data: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, keys, targets = data
    count: Callable[[], Tensor] = lambda: votes(  # noqa: E731
        *nearest(queries, keys, 20), targets, 5, [20, 5], TEMPERATURE
    )
    at_once = count()
    monkeypatch.setattr("probe_bench.probes.neighbours._ELEMENTS", 3 * 20 * 5)
    torch.testing.assert_close(count(), at_once)
