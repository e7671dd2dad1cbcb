from itertools import combinations

import numpy as np
import pytest
import torch

from probe_bench.probes.verification import cosine_scores, make_trials, pair_sums

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


def test_of_very_many_clips_some_at_even_distances_are_paired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speakers = [f"s{i // 10}" for i in range(90)]
    recordings = [f"r{i}" for i in range(90)]
    monkeypatch.setattr("probe_bench.probes.verification.MOST_CLIPS", 30)
    trials = make_trials(speakers, recordings)
    kept = list(combinations(range(0, 90, 3), 2))
    assert list(zip(trials.first.tolist(), trials.second.tolist(), strict=True)) == kept
    assert trials.same.tolist() == [speakers[i] == speakers[j] for i, j in kept]


def test_sums_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1)).double()
    trials = make_trials(SPEAKERS, RECORDINGS)
    expected = [
        float(x[i] @ y[j])
        for i, j in zip(trials.first.tolist(), trials.second.tolist(), strict=True)
    ]
    for elements in (1, 12, 1 << 20):
        monkeypatch.setattr("probe_bench.probes.verification._ELEMENTS", elements)
        np.testing.assert_allclose(pair_sums(x, y, trials), expected)


def test_scores_are_cosines() -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    trials = make_trials(SPEAKERS, RECORDINGS)
    wide = x.double().numpy()
    expected = [
        wide[i] @ wide[j] / np.linalg.norm(wide[i]) / np.linalg.norm(wide[j])
        for i, j in zip(trials.first.tolist(), trials.second.tolist(), strict=True)
    ]
    np.testing.assert_allclose(cosine_scores(x, trials), expected, atol=1e-6)
