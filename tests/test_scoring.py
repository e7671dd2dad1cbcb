"""Scores of a task with their intervals, and what the run says beside them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from probe_bench.bootstrap import cluster_weights, interval
from probe_bench.scoring import Predictions, cautions, plain_value, score
from probe_bench.task import Metric

METRICS: dict[str, Metric] = {"tag": "map", "trial": "eer", "clip": "accuracy"}


def predictions(n_groups: int, *, right: float = 0.7) -> Predictions:
    random = np.random.default_rng(0)
    target = random.integers(0, 3, 120)
    wrong = random.random((2, 120)) > right
    return Predictions(
        probe="logistic",
        unit="clip",
        layers=("L1", "best"),
        settings=("", ""),
        chosen=(False, True),
        classes=("a", "b", "c"),
        clip_ids=np.array([f"c{k}" for k in range(120)]),
        clusters=np.array([f"s{k % n_groups}" for k in range(120)]),
        targets=target,
        predicted=(target + wrong) % 3,
    )


def trials(clips: list[int]) -> Predictions:
    speaker = np.repeat(np.arange(len(clips)), clips)
    first, second = np.triu_indices(len(speaker), 1)
    same = speaker[first] == speaker[second]
    scores = np.random.default_rng(1).normal(size=(1, len(first))) + 2 * same
    return Predictions(
        probe="cosine",
        unit="trial",
        layers=("best",),
        settings=("",),
        chosen=(True,),
        classes=(),
        clip_ids=first.astype(str),
        clusters=speaker[first].astype(str),
        other_clusters=speaker[second].astype(str),
        targets=same,
        predicted=scores,
    )


def tags(members: int) -> Predictions:
    target = np.arange(300)[:, None] % 300 < np.array([members, members, 2 * members])
    scores = np.random.default_rng(2).normal(size=(2, 300, 3)) + target
    made = predictions(10)
    groups = np.array([f"s{k % 10}" for k in range(300)])
    return replace(made, targets=target, predicted=scores, clusters=groups, clip_ids=groups)


def test_scores_are_values_on_shared_resamples_with_the_metric_s_own_interval() -> None:
    made = predictions(10)
    scores = score(made, ("accuracy", "uar"), corpus="c", task="t", seed=4)
    assert [(s.metric, s.layer) for s in scores] == [
        ("accuracy", "L1"),
        ("accuracy", "best"),
        ("uar", "L1"),
        ("uar", "best"),
    ]
    weights = cluster_weights(4, "c", "t", sorted(set(made.clusters.tolist())))
    own = weights[:, [sorted(set(made.clusters)).index(name) for name in made.clusters]]
    hits = torch.from_numpy(made.predicted[0] == made.targets).double()
    expected = own @ hits / own.sum(1)
    torch.testing.assert_close(scores[0].replicates, expected)
    found = interval(expected, 10, "logit")
    assert (scores[0].ci_low, scores[0].ci_high) == pytest.approx((found.low, found.high))
    assert scores[0].value == pytest.approx(
        plain_value("accuracy", made.targets, made.predicted[0])
    )


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (predictions(10), ""),
        (predictions(5), "5 groups"),
        (predictions(1), "one group"),
        (predictions(10, right=1.0), "accuracy of 0 or 1"),
        (tags(60), ""),
        (tags(20), "20 members a class"),
        (trials([6] * 10), ""),
        (trials([12, 2, 2, 2, 2, 2, 2, 2, 2]), "a few of 9 groups"),
    ],
)
def test_a_run_says_where_intervals_are_less_sure(made: Predictions, said: str) -> None:
    kind = "tag" if made.targets.ndim == 2 else made.unit
    metric = METRICS[kind]
    notes = cautions(score(made, (metric,), corpus="c", task="t", seed=0), [made])
    assert len(notes) == bool(said)
    assert all(said in note for note in notes)
