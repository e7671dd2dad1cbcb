from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from probe_bench.metrics import (
    SCALES,
    average_precision,
    mean_recall,
    minimum_detection_cost,
    phone_errors,
    ratio,
    roc_auc,
)
from probe_bench.ranking import Sweep, Sweeps
from probe_bench.task import Metric

SEEDS = range(4)
Swept = Callable[[Sweep], Tensor]


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


def swept(metric: Swept, *case: np.ndarray) -> Tensor:
    scores, positive, weights = (torch.from_numpy(each) for each in case)
    cell = torch.arange(len(scores))
    return metric(Sweeps(scores[None], positive[None], cell)(weights.T.contiguous()))[0]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_swept_metrics_are_those_of_sklearn_with_sample_weights(seed: int, ties: bool) -> None:
    scores, positive, weights = ranked_case(seed, ties=ties)
    for ours, theirs in ((average_precision, average_precision_score), (roc_auc, roc_auc_score)):
        expected = [theirs(positive, scores, sample_weight=row) for row in weights]
        np.testing.assert_allclose(swept(ours, scores, positive, weights), expected, rtol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_weights_are_repeated_units(seed: int, ties: bool) -> None:
    scores, positive, weights = ranked_case(seed, ties=ties)
    once = np.ones((1, int(weights[1].sum())))
    repeated = (np.repeat(each, weights[1].astype(int)) for each in (scores, positive))
    again = tuple(repeated)
    for metric in (average_precision, roc_auc, minimum_detection_cost):
        assert float(swept(metric, *again, once)) == pytest.approx(
            float(swept(metric, scores, positive, weights)[1])
        )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_detection_cost_is_that_of_speechbrain_over_the_cost_of_rejecting_all(
    seed: int, ties: bool, speechbrain: SimpleNamespace
) -> None:
    scores, same, weights = ranked_case(seed, ties=ties)
    scores = scores + 4 * same  # so that some threshold beats rejecting all trials
    cost, _ = speechbrain.metric_stats.minDCF(
        torch.from_numpy(scores[same]), torch.from_numpy(scores[~same])
    )
    ours = float(swept(minimum_detection_cost, scores, same, weights[:1])[0])
    assert ours == pytest.approx(cost / 0.01, abs=1e-5)
    assert ours < 1


def test_detection_cost_is_at_worst_that_of_rejecting_all() -> None:
    same, once = np.array([True, True, False, False]), np.ones((1, 4))
    for scores in (np.zeros(4), np.array([0.0, 0.1, 0.2, 0.3])):
        assert swept(minimum_detection_cost, scores, same, once).tolist() == [1]
    # Half of the targets lie above every other trial.
    scores = np.array([0.5, 0.0, 0.1, 0.2])
    assert swept(minimum_detection_cost, scores, same, once).tolist() == [0.5]


def test_undefined_resamples_are_nan_and_absent_classes_are_left_out() -> None:
    case = np.array([0.1, 0.7, 0.3]), np.array([False, True, False])
    weights = np.array([[1.0, 0, 1], [0, 1, 0], [1, 1, 1]])
    assert swept(average_precision, *case, weights).isnan().tolist() == [True, False, False]
    assert swept(roc_auc, *case, weights).isnan().tolist() == [True, True, False]
    assert swept(minimum_detection_cost, *case, weights).isnan().tolist() == [True, True, False]
    correct = torch.tensor([[[1.0, 0], [0, 3]]], dtype=torch.float64)
    count = torch.tensor([[2.0, 0], [0, 4]], dtype=torch.float64)
    rows = torch.tensor([[1.0, 1], [1, 0]], dtype=torch.float64)
    assert mean_recall(correct, count, rows).tolist() == [[0.625, 0.5]]
    assert ratio(correct.sum(2), count.sum(1), rows).tolist() == [[4 / 6, 0.5]]


def test_every_metric_says_on_which_scale_it_has_no_edge() -> None:
    assert set(SCALES) == set(get_args(Metric))


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
