"""All layers in all resamples at once, against libraries on units drawn one resample at a time."""

from collections.abc import Callable, Sequence

import jiwer
import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    roc_auc_score,
    roc_curve,
)

from probe_bench import replicates as module
from probe_bench.bootstrap import cluster_weights
from probe_bench.replicates import Resamples, replicates
from probe_bench.task import Metric

N_LAYERS, N, N_CLUSTERS, N_RESAMPLES = 3, 70, 9, 12
Case = tuple[np.ndarray, np.ndarray]
Oracle = Callable[[np.ndarray, np.ndarray], float]


def classes(random: np.random.Generator) -> Case:
    target = random.choice(4, N, p=[0.5, 0.3, 0.17, 0.03])  # the last is absent from some resamples
    target[:4] = range(4)
    wrong = random.random((N_LAYERS, N)) < 0.4
    return target, np.where(wrong, random.integers(0, 4, wrong.shape), target)


def tags(random: np.random.Generator) -> Case:
    member = random.random((N, 5)) < np.array([0.02, 0.1, 0.3, 0.9, 0.5])
    member[0] = True
    scores = random.normal(size=(N_LAYERS, N, 5)) + member
    scores[1] = np.round(scores[1])
    return member, scores


def phones(random: np.random.Generator) -> Case:
    def words() -> str:
        return " ".join(random.choice(list("abc"), random.integers(1, 9)))

    return (
        np.array([words() for _ in range(N)], dtype=object),
        np.array([[words() for _ in range(N)] for _ in range(N_LAYERS)], dtype=object),
    )


def over_classes(metric: Callable[[np.ndarray, np.ndarray], float], *, both: bool) -> Oracle:
    def mean(member: np.ndarray, scores: np.ndarray) -> float:
        columns = [
            (m, s)
            for m, s in zip(member.T, scores.T, strict=True)
            if m.any() and (not both or not m.all())
        ]
        return float(np.mean([metric(m, s) for m, s in columns])) if columns else np.nan

    return mean


def transcripts(references: np.ndarray, heard: np.ndarray) -> float:
    return float(jiwer.wer(references.tolist(), heard.tolist()))


CASES: list[tuple[Metric, Callable[[np.random.Generator], Case], Oracle]] = [
    ("accuracy", classes, accuracy_score),
    ("uar", classes, balanced_accuracy_score),
    ("map", tags, over_classes(average_precision_score, both=False)),
    ("macro_auc", tags, over_classes(roc_auc_score, both=True)),
    ("per", phones, transcripts),
]


def drawn(weights: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Units of a resample, those of a cluster as often as it was drawn."""
    return np.concatenate(
        [np.flatnonzero(cluster == c) for c in range(len(weights)) for _ in range(int(weights[c]))]
    )


def resampled(cluster: np.ndarray, other: np.ndarray | None = None) -> Resamples:
    names = [str(c) for c in range(cluster.max() + 1)]
    weights = cluster_weights(0, "corpus", "task", names, N_RESAMPLES)
    second = None if other is None else torch.from_numpy(other)
    return Resamples.of(weights, torch.from_numpy(cluster), second)


@pytest.mark.parametrize(("metric", "make", "oracle"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("alone", [False, True], ids=["clusters", "units alone"])
def test_every_resample_of_every_layer_is_that_of_the_library(
    metric: Metric, make: Callable[[np.random.Generator], Case], oracle: Oracle, alone: bool
) -> None:
    random = np.random.default_rng(5)
    targets, predicted = make(random)
    cluster = np.arange(N) if alone else np.sort(random.integers(0, N_CLUSTERS, N))
    cluster = np.unique(cluster, return_inverse=True)[1]
    resamples = resampled(cluster)
    found = replicates([metric], targets, predicted, resamples)[metric]
    expected = [
        [
            oracle(targets[units], layer[units])
            for units in (drawn(w, cluster) for w in resamples.weights.numpy())
        ]
        for layer in predicted
    ]
    assert found.shape == (N_LAYERS, 1 + N_RESAMPLES)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_trials_are_those_of_the_drawn_clusters() -> None:
    """Two draws of one cluster are two speakers: no trial stands between them."""
    random = np.random.default_rng(6)
    cluster, other = random.integers(0, 6, (2, 300))
    same = cluster == other
    scores = random.normal(size=(2, 300)) + 1.5 * same
    resamples = resampled(cluster, other)
    found = replicates(["eer"], same, scores, resamples)["eer"]
    for k, weights in enumerate(resamples.weights.numpy()):
        speakers = np.repeat(np.arange(6), weights.astype(int))
        units = [
            t
            for i, first in enumerate(speakers)
            for j, second in enumerate(speakers)
            if (i == j or first != second)
            for t in np.flatnonzero((cluster == first) & (other == second))
        ]
        for layer in range(2):
            accepted, hit, _ = roc_curve(same[units], scores[layer, units], drop_intermediate=False)
            best = np.argmin(np.abs(accepted - (1 - hit)))
            ours = float(found[layer, k])
            assert ours == pytest.approx((accepted[best] + 1 - hit[best]) / 2, abs=1e-12)


@pytest.mark.parametrize("metrics", [("map", "macro_auc"), ("uar",), ("eer",)])
def test_blocks_change_nothing(metrics: Sequence[Metric], monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    targets, predicted = classes(random) if metrics == ("uar",) else tags(random)
    if metrics == ("eer",):
        targets, predicted = targets[:, 2], predicted[:, :, 2]
    resamples = resampled(np.arange(N) % N_CLUSTERS)
    whole = replicates(metrics, targets, predicted, resamples)
    monkeypatch.setattr(module, "_BLOCK", 300)
    monkeypatch.setattr(module, "_MOST_ROWS", 5)
    for metric, values in replicates(metrics, targets, predicted, resamples).items():
        torch.testing.assert_close(values, whole[metric], rtol=1e-14, atol=0)


def test_a_layer_with_scores_that_are_no_numbers_has_no_value() -> None:
    member, scores = tags(np.random.default_rng(8))
    scores[0, 3, 2] = np.nan
    resamples = resampled(np.arange(N) % N_CLUSTERS)
    for metric, values in replicates(["map", "macro_auc"], member, scores, resamples).items():
        assert values[0].isnan().all(), metric
        assert values[1:].isfinite().all(), metric
    rates = replicates(["eer"], member[:, 2], scores[:, :, 2], resamples)["eer"]
    assert rates.isnan().all(1).tolist() == [True, False, False]


def test_one_cluster_is_itself_in_every_resample() -> None:
    member, scores = tags(np.random.default_rng(9))
    found = replicates(["map"], member, scores, resampled(np.zeros(N, int)))["map"]
    torch.testing.assert_close(found, found[:, :1].expand_as(found))
