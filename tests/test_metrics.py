import importlib
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from probe_bench.metrics import (
    average_precision,
    equal_error_rate,
    mean_recall,
    minimum_detection_cost,
    phone_errors,
    ratio,
    roc_auc,
)

SEEDS = range(4)


@pytest.fixture(scope="module")
def speechbrain() -> Iterator[ModuleType]:
    """Import speechbrain for this module only: hypothesis cannot look at the lazy modules it leaves."""
    before = dict(sys.modules)
    yield importlib.import_module("speechbrain.utils.metric_stats")
    for name in set(sys.modules) - set(before):
        if name.startswith("speechbrain"):
            del sys.modules[name]


def ranked_case(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    n = int(random.integers(20, 90))
    positive = random.random(n) < 0.3
    positive[:2] = True, False
    scores = random.normal(size=n) + positive
    if ties:
        scores = np.round(scores)
    weights = random.integers(0, 4, size=(5, n)).astype(float)
    weights[0] = 1
    weights[:, :2] = 1
    return scores, positive, weights


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_ranked_metrics_are_those_of_sklearn_with_sample_weights(seed: int, ties: bool) -> None:
    scores, positive, weights = ranked_case(seed, ties=ties)
    tensors = torch.from_numpy(scores), torch.from_numpy(positive), torch.from_numpy(weights)
    expected = [
        [metric(positive, scores, sample_weight=row) for row in weights]
        for metric in (average_precision_score, roc_auc_score)
    ]
    np.testing.assert_allclose(average_precision(*tensors), expected[0], rtol=1e-10)
    np.testing.assert_allclose(roc_auc(*tensors), expected[1], rtol=1e-10)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_weights_are_repeated_units(seed: int, ties: bool) -> None:
    scores, positive, weights = ranked_case(seed, ties=ties)
    for metric in (average_precision, roc_auc, equal_error_rate, minimum_detection_cost):
        weighted = metric(
            torch.from_numpy(scores), torch.from_numpy(positive), torch.from_numpy(weights)
        )
        for row, value in zip(weights, weighted, strict=True):
            times = row.astype(int)
            again = torch.from_numpy(np.repeat(scores, times))
            once = torch.ones(1, len(again), dtype=torch.float64)
            repeated = metric(again, torch.from_numpy(np.repeat(positive, times)), once)
            assert float(repeated[0]) == pytest.approx(float(value))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_eer_is_that_of_speechbrain_and_near_the_crossing_of_the_roc_curve(
    seed: int,
    ties: bool,
    speechbrain: ModuleType,
) -> None:
    scores, same, weights = ranked_case(seed, ties=ties)
    once = torch.from_numpy(weights[:1])
    ours = float(equal_error_rate(torch.from_numpy(scores), torch.from_numpy(same), once)[0])
    rate, _ = speechbrain.EER(torch.from_numpy(scores[same]), torch.from_numpy(scores[~same]))
    assert ours == pytest.approx(rate, abs=1e-6)
    accepted, hit, _ = roc_curve(same, scores, drop_intermediate=False)
    crossing = np.argmin(np.abs(accepted - (1 - hit)))
    near = (accepted[crossing] + 1 - hit[crossing]) / 2
    step = max(1 / same.sum(), 1 / (~same).sum())
    assert ours == pytest.approx(near, abs=0.3 if ties else step)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_detection_cost_is_that_of_speechbrain_over_the_cost_of_rejecting_all(
    seed: int, ties: bool, speechbrain: ModuleType
) -> None:
    scores, same, weights = ranked_case(seed, ties=ties)
    scores = scores + 4 * same  # so that some threshold beats rejecting all trials
    tensors = torch.from_numpy(scores), torch.from_numpy(same), torch.from_numpy(weights[:1])
    cost, _ = speechbrain.minDCF(torch.from_numpy(scores[same]), torch.from_numpy(scores[~same]))
    ours = float(minimum_detection_cost(*tensors)[0])
    assert ours == pytest.approx(cost / 0.01, abs=1e-5)
    assert ours < 1


def test_detection_cost_is_at_worst_that_of_rejecting_all() -> None:
    same, once = torch.tensor([True, True, False, False]), torch.ones(1, 4, dtype=torch.float64)
    for scores in (torch.zeros(4), torch.tensor([0.0, 0.1, 0.2, 0.3])):
        assert minimum_detection_cost(scores, same, once).tolist() == [1]
    # Half of the targets lie above every other trial.
    scores = torch.tensor([0.5, 0.0, 0.1, 0.2])
    assert minimum_detection_cost(scores, same, once).tolist() == [0.5]


def test_undefined_resamples_are_nan_and_absent_classes_are_left_out() -> None:
    scores, positive = torch.tensor([0.1, 0.7, 0.3]), torch.tensor([False, True, False])
    weights = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 1, 1]], dtype=torch.float64)
    assert average_precision(scores, positive, weights).isnan().tolist() == [True, False, False]
    assert roc_auc(scores, positive, weights).isnan().tolist() == [True, True, False]
    assert equal_error_rate(scores, positive, weights).isnan().tolist() == [True, True, False]
    assert minimum_detection_cost(scores, positive, weights).isnan().tolist() == [True, True, False]
    correct = torch.tensor([[1.0, 0], [0, 3]], dtype=torch.float64)
    count = torch.tensor([[2.0, 0], [0, 4]], dtype=torch.float64)
    rows = torch.tensor([[1.0, 1], [1, 0]], dtype=torch.float64)
    assert mean_recall(correct, count, rows).tolist() == [0.625, 0.5]
    assert ratio(correct.sum(1), count.sum(1), rows).tolist() == [4 / 6, 0.5]


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0], table[0] = range(len(a) + 1), range(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            swap = table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
            table[i, j] = min(swap, table[i - 1, j] + 1, table[i, j - 1] + 1)
    return int(table[-1, -1])


def test_phone_errors_are_edit_distances() -> None:
    random = np.random.default_rng(0)
    pairs = [
        (
            random.choice(list("abc"), random.integers(1, 9)).tolist(),
            random.choice(list("abc"), n).tolist(),
        )
        for n in range(9)
    ]
    found = phone_errors([" ".join(a) for a, _ in pairs], [" ".join(b) for _, b in pairs])
    assert found.tolist() == [edit_distance(a, b) for a, b in pairs]
