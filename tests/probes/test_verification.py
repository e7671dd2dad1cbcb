from itertools import combinations

import numpy as np
import torch

from probe_bench.probes.verification import cosine_scores, make_trials

SPEAKERS = ["a", "a", "b", "b", "a", "c"]
RECORDINGS = ["1", "1", "2", "3", "4", "5"]


def test_trials_are_all_pairs_of_different_recordings() -> None:
    trials = make_trials(SPEAKERS, RECORDINGS)
    expected = [
        (i, j, SPEAKERS[i] == SPEAKERS[j])
        for i, j in combinations(range(6), 2)
        if RECORDINGS[i] != RECORDINGS[j]
    ]
    found = zip(trials.first.tolist(), trials.second.tolist(), trials.same.tolist(), strict=True)
    assert list(found) == expected


def test_thinning_keeps_both_kinds_and_is_repeatable() -> None:
    speakers = [f"s{i % 5}" for i in range(60)]
    recordings = [f"r{i}" for i in range(60)]
    trials, again = (make_trials(speakers, recordings, cap=100) for _ in range(2))
    assert len(trials.same) == 100
    assert int(trials.same.sum()) == 50
    assert torch.equal(trials.first, again.first)
    assert all(
        speakers[i] == speakers[j]
        for i, j in zip(
            trials.first[trials.same].tolist(), trials.second[trials.same].tolist(), strict=True
        )
    )


def test_scores_are_cosines() -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    trials = make_trials(SPEAKERS, RECORDINGS)
    wide = x.double().numpy()
    expected = [
        wide[i] @ wide[j] / np.linalg.norm(wide[i]) / np.linalg.norm(wide[j])
        for i, j in zip(trials.first.tolist(), trials.second.tolist(), strict=True)
    ]
    np.testing.assert_allclose(cosine_scores(x, trials), expected, atol=1e-6)
