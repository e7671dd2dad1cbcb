import numpy as np
import pytest
import torch

from probe_bench.bootstrap import cluster_weights, interval


def test_resamples_depend_on_seed_corpus_task_and_clusters_only() -> None:
    names = ["a", "b", "c"]
    weights = cluster_weights(0, "speech", "speaker", names)
    assert torch.equal(weights, cluster_weights(0, "speech", "speaker", names))
    for other in (
        cluster_weights(1, "speech", "speaker", names),
        cluster_weights(0, "scenes", "speaker", names),
        cluster_weights(0, "speech", "emotion", names),
        cluster_weights(0, "speech", "speaker", ["a", "b", "d"]),
    ):
        assert not torch.equal(weights, other)


def test_row_0_is_the_data_and_every_resample_draws_as_many_clusters() -> None:
    weights = cluster_weights(0, "speech", "speaker", [str(i) for i in range(12)], 200)
    assert weights.shape == (201, 12)
    assert (weights[0] == 1).all()
    assert (weights.sum(1) == 12).all()
    assert weights[1:].mean(0).numpy() == pytest.approx(1, abs=0.3)


def test_degenerate_resamples_are_left_out_and_one_cluster_has_no_interval() -> None:
    rows = torch.tensor([0.5, np.nan, 0.4, 0.6, np.nan], dtype=torch.float64)
    found = interval(rows, 3)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.4, 0.6), abs=1e-6)
    assert interval(rows, 1).low is None
    assert interval(torch.full((4,), torch.nan), 3).value is None


def simulate(n_clusters: int, n_trials: int, random: np.random.Generator) -> np.ndarray:
    """Correct units of clusters whose own accuracy varies around 0.7: (trials, clusters)."""
    own = random.beta(7, 3, size=(n_trials, n_clusters))
    return random.binomial(10, own) / 10


@pytest.mark.parametrize(("n_clusters", "low", "high"), [(8, 0.92, 0.98), (30, 0.93, 0.975)])
def test_intervals_cover_the_truth_as_often_as_they_say(
    n_clusters: int, low: float, high: float
) -> None:
    random = np.random.default_rng(0)
    accuracy = torch.from_numpy(simulate(n_clusters, 1500, random))
    names = [str(i) for i in range(n_clusters)]
    weights = cluster_weights(0, "simulation", "accuracy", names)
    replicates = accuracy @ weights.T / n_clusters
    found = [interval(row, n_clusters) for row in replicates]
    covered = np.mean(
        [i.low is not None and i.high is not None and i.low <= 0.7 <= i.high for i in found]
    )
    assert low <= covered <= high


def test_units_of_one_cluster_stay_together() -> None:
    """Ten copies of each unit must not shorten the interval."""
    random = np.random.default_rng(1)
    names = [str(i) for i in range(20)]
    weights = cluster_weights(0, "speech", "speaker", names)
    hits = torch.from_numpy(random.random(20))
    narrow, copied = (
        interval(weights @ (copies * hits) / (weights @ (copies * torch.ones_like(hits))), 20)
        for copies in (1.0, 10.0)
    )
    assert (narrow.low, narrow.high) == pytest.approx((copied.low, copied.high))
