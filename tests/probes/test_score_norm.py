"""AS-norm: against a loop over trials."""

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.probes.back_ends import FITS
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.score_norm import cohort_statistics, normalise, speaker_means
from probe_bench.probes.verification import Trials, cosine_scores

TOPS = (7, 5, 2)


def unit(n: int, seed: int) -> Tensor:
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x, dim=1)


@pytest.fixture
def trials() -> Trials:
    first, second = torch.triu_indices(9, 9, 1)
    return Trials(first=first, second=second, same=first == second)


def test_scores_are_those_of_a_loop(trials: Trials) -> None:
    x, cohort = unit(9, 0), unit(7, 1)
    scores = cosine_scores(x, trials)
    found = normalise(scores, *cohort_statistics(x, cohort, TOPS), trials)
    wide, others = x.double().numpy(), cohort.double().numpy()
    for row, top in zip(found, TOPS, strict=True):
        expected = []
        for i, j in zip(trials.first.tolist(), trials.second.tolist(), strict=True):
            sides = [np.sort(others @ wide[k])[::-1][:top] for k in (i, j)]
            s = wide[i] @ wide[j]
            expected.append(np.mean([(s - side.mean()) / side.std() for side in sides]))
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


def test_statistics_do_not_depend_on_how_many_clips_are_compared_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, cohort = unit(9, 0), unit(7, 1)
    at_once = cohort_statistics(x, cohort, TOPS)
    monkeypatch.setattr("probe_bench.probes.score_norm._CLIPS", 2)
    for one, other in zip(cohort_statistics(x, cohort, TOPS), at_once, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_cohort_holds_one_unit_vector_a_speaker() -> None:
    x, speaker = unit(8, 2), torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])
    means = speaker_means(x, speaker)
    for s in range(3):
        mean = x[speaker == s].mean(0)
        torch.testing.assert_close(means[s], mean / mean.norm())


def test_all_speakers_come_first_then_fewer(trials: Trials) -> None:
    x, speaker = (
        torch.randn(24, 6, generator=torch.Generator().manual_seed(3)),
        torch.arange(24) % 8,
    )
    config = ProbeConfig(as_norm_top=(500, 8, 4, 1))
    (back_end,) = FITS["as-norm"]([x], speaker, config)
    assert back_end.settings == ("cohort=8", "cohort=4")
    scores = back_end.scores(x[:9], trials)
    assert bool(scores.isfinite().all())
    torch.testing.assert_close(back_end.at(1).scores(x[:9], trials)[0], scores[1])


def test_one_speaker_is_no_cohort() -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(4))
    assert FITS["as-norm"]([x], torch.zeros(6, dtype=torch.long), ProbeConfig()) == []
