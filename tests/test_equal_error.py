"""The equal error rate of many layers and resamples: against speechbrain and a search over all thresholds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.equal_error import EqualErrorRate


@pytest.fixture(params=["distinct", "ties", "all equal"])
def trials(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """Scores of three layers, and which trials are targets."""
    random = np.random.default_rng(3)
    same = random.random(150) < 0.4
    scores = random.normal(size=(3, 150)) + np.array([[0.5], [1.0], [4.0]]) * same
    if request.param != "distinct":
        scores = np.round(scores) if request.param == "ties" else np.zeros_like(scores)
    return torch.from_numpy(scores), torch.from_numpy(same)


def test_plain_rate_is_that_of_speechbrain(
    trials: tuple[Tensor, Tensor],
    speechbrain: SimpleNamespace,
) -> None:
    scores, same = trials
    cell = torch.zeros(150, dtype=torch.long)
    found = EqualErrorRate(scores, same, cell)(torch.ones(1, 1))[:, 0].tolist()
    expected = [float(speechbrain.metric_stats.EER(row[same], row[~same])[0]) for row in scores]
    assert found == pytest.approx(expected, abs=1e-6)


def test_weighted_rate_is_a_search_over_all_thresholds(trials: tuple[Tensor, Tensor]) -> None:
    scores, same = trials
    random = np.random.default_rng(4)
    cell = torch.from_numpy(random.integers(0, 12, 150))
    weights = torch.from_numpy(random.integers(0, 4, (12, 40))).float()
    found = EqualErrorRate(scores, same, cell)(weights)
    for layer, row in enumerate(scores.numpy()):
        for k, own in enumerate(weights[cell].T.double().numpy()):
            rates = [
                (
                    own[same.numpy() & (row <= threshold)].sum() / own[same.numpy()].sum(),
                    own[~same.numpy() & (row > threshold)].sum() / own[~same.numpy()].sum(),
                )
                for threshold in np.unique(row)
            ]
            closest = min(rates, key=lambda pair: round(abs(pair[0] - pair[1]), 12))
            assert float(found[layer, k]) == pytest.approx(sum(closest) / 2, abs=1e-12)


def test_resamples_without_targets_or_others_are_nan() -> None:
    scores, same = torch.tensor([[0.1, 0.7, 0.3]]), torch.tensor([False, True, False])
    weights = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 1, 1]]).T.contiguous()
    found = EqualErrorRate(scores, same, torch.arange(3))(weights)
    assert found.isnan().tolist() == [[True, True, False]]
