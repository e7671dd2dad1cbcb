"""PLDA: scores against densities, covariances against those that made the data, against speechbrain."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from torch import Tensor

from probe_bench.probes.back_ends import FITS, _stacked
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.plda import Moments, Plda, fit_plda, moments
from probe_bench.probes.verification import Trials, make_trials

CONFIG = ProbeConfig(plda_dims=(2, 4, 8), as_norm_top=(6, 3))


def covariance(dim: int, rank: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(dim, rank))
    return root @ root.T / rank


def sample(
    between: np.ndarray, within: np.ndarray, counts: np.ndarray, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw clips of len(counts) speakers."""
    random, dim = np.random.default_rng(seed), len(between)
    speaker = np.repeat(np.arange(len(counts)), counts)
    voices = random.multivariate_normal(np.full(dim, 2.0), between, len(counts))
    noise = random.multivariate_normal(np.zeros(dim), within, len(speaker))
    return torch.from_numpy(voices[speaker] + noise), torch.from_numpy(speaker)


def solve(found: Moments) -> Plda:
    (model,) = fit_plda(_stacked([found]))
    return model


def pairs(n: int) -> Trials:
    first, second = torch.triu_indices(n, n, 1)
    return Trials(first=first, second=second, same=first == second)


def test_scores_are_log_ratios_of_normal_densities() -> None:
    between, within = covariance(5, 3, 0), covariance(5, 9, 1)
    x, speaker = sample(between, within, np.full(12, 6), 2)
    found = moments(x, speaker)
    model = solve(found)
    # The covariances that were fitted, without negative variance between speakers.
    ratio, axes = linalg.eigh(found.between.numpy(), found.within.numpy())
    back = np.linalg.inv(axes)
    fitted = back.T @ np.diag(np.maximum((ratio - 1) / found.count, 0)) @ back
    total = fitted + found.within.numpy()
    one = stats.multivariate_normal(
        np.tile(found.mean, 2), np.block([[total, fitted], [fitted, total]])
    )
    two = stats.multivariate_normal(found.mean, total)
    trials = pairs(8)
    expected = [
        one.logpdf(np.concatenate([x[i], x[j]])) - two.logpdf(x[i]) - two.logpdf(x[j])
        for i, j in zip(trials.first.tolist(), trials.second.tolist(), strict=True)
    ]
    np.testing.assert_allclose(model.scores(x[:8], trials), expected, rtol=1e-8, atol=1e-8)


def test_known_covariances_are_recovered_from_unequal_numbers_of_clips() -> None:
    between, within = covariance(4, 2, 3), covariance(4, 8, 4)
    counts = np.random.default_rng(5).integers(1, 12, size=6000)
    found = moments(*sample(between, within, counts, 6))
    estimate = (found.between - found.within) / found.count
    np.testing.assert_allclose(found.within, within, atol=0.03 * np.trace(within))
    np.testing.assert_allclose(estimate, between, atol=0.03 * np.trace(between))
    model = solve(found)
    psi = linalg.eigh(between, within, eigvals_only=True)
    np.testing.assert_allclose(model.psi[-2:], psi[-2:], rtol=0.06)
    assert bool((model.psi[:-2] < 0.05).all())  # speakers differ in two dimensions only


def test_moments_are_those_of_an_analysis_of_variance() -> None:
    x, speaker = sample(covariance(1, 1, 7), covariance(1, 1, 8), np.array([3, 1, 5, 2]), 9)
    found = moments(x, speaker)
    groups = [x[speaker == s, 0].numpy() for s in range(4)]
    f = stats.f_oneway(*groups).statistic
    assert float(found.between / found.within) == pytest.approx(f)
    n = np.array([3, 1, 5, 2])
    assert found.count == pytest.approx((n.sum() - (n**2).sum() / n.sum()) / 3)


def test_scores_rank_trials_as_speechbrains_do(speechbrain: SimpleNamespace) -> None:
    between, within = covariance(6, 3, 10), covariance(6, 12, 11)
    x, speaker = sample(between, within, np.full(80, 8), 12)

    def wrap(part: Tensor, who: list[str]) -> object:
        names = np.array(who, dtype=object)
        none, ones = np.array([None] * len(part)), np.ones((len(part), 1))
        return speechbrain.plda.StatObject_SB(names, names, none, none, ones, part.numpy().copy())

    theirs = speechbrain.plda.PLDA(rank_f=6, nb_iter=50)
    theirs.plda(wrap(x, [f"s{s}" for s in speaker.tolist()]))
    few, names = x[::40], [f"c{k:02}" for k in range(len(x[::40]))]
    ndx = speechbrain.plda.Ndx(models=np.array(names), testsegs=np.array(names))
    matrix = speechbrain.plda.fast_PLDA_scoring(
        wrap(few, names), wrap(few, names), ndx, theirs.mean, theirs.F, theirs.Sigma
    ).scoremat
    trials = pairs(len(few))
    ours = solve(moments(x, speaker)).scores(few, trials)
    correlation = np.corrcoef(ours, matrix[trials.first, trials.second])[0, 1]
    assert correlation > 0.998


def test_layers_solved_together_are_those_solved_alone() -> None:
    found = [
        moments(*sample(covariance(5, 3, k), covariance(5, 9, k + 1), np.full(9, 4), k))
        for k in range(3)
    ]
    trials, x = pairs(6), torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).double()
    for alone, together in zip(map(solve, found), fit_plda(_stacked(found)), strict=True):
        torch.testing.assert_close(together.scores(x, trials), alone.scores(x, trials))


@pytest.fixture
def layers() -> tuple[list[Tensor], Tensor]:
    """Three layers of more dimensions than clips; the second hides speakers under loud noise."""
    generator = torch.Generator().manual_seed(1)
    speaker = torch.arange(48) % 12
    voices = torch.randn(12, 6, generator=generator)
    some = []
    for loud in (0.0, 30.0, 1.0):
        noise = torch.randn(48, 70, generator=generator)
        noise[:, :6] += voices[speaker]
        noise[:, 10:20] += loud * torch.randn(48, 1, generator=generator)
        some.append(noise)
    return some, speaker


def test_fewer_clips_than_dimensions_are_modelled_in_principal_axes(
    layers: tuple[list[Tensor], Tensor],
) -> None:
    some, speaker = layers
    fitted = FITS["plda"](some, speaker, CONFIG)
    trials = make_trials([str(s) for s in speaker.tolist()], [str(k) for k in range(48)])
    for x, back_end in zip(some, fitted, strict=True):
        assert back_end.settings == ("dims=2", "dims=4", "dims=8")
        scores = back_end.scores(x, trials)
        assert scores.shape == (3, len(trials))
        assert bool(scores.isfinite().all())
        for k in range(3):
            torch.testing.assert_close(back_end.at(k).scores(x, trials)[0], scores[k])
            assert back_end.at(k).settings == back_end.settings[k : k + 1]


def test_scores_do_not_depend_on_the_scale_of_a_clip(layers: tuple[list[Tensor], Tensor]) -> None:
    some, speaker = layers
    (back_end,) = FITS["plda"](some[:1], speaker, CONFIG)
    trials = pairs(10)
    mean = some[0].mean(0)
    louder = mean + 3 * (some[0][:10] - mean)
    torch.testing.assert_close(
        back_end.scores(louder, trials), back_end.scores(some[0][:10], trials), rtol=1e-4, atol=1e-4
    )


def test_layers_without_any_variance_score_all_pairs_alike() -> None:
    speaker = torch.arange(12) % 4
    (back_end,) = FITS["plda"]([torch.ones(12, 5)], speaker, CONFIG)
    assert back_end.scores(torch.ones(6, 5), pairs(6)).unique().tolist() == [0]


def test_speakers_of_one_clip_each_cannot_be_modelled(layers: tuple[list[Tensor], Tensor]) -> None:
    some, _ = layers
    assert FITS["plda"](some, torch.arange(48), CONFIG) == []
    assert FITS["plda"](some, torch.zeros(48, dtype=torch.long), CONFIG) == []


def test_dimensions_end_where_clips_do() -> None:
    speaker = torch.arange(9) % 5  # four clips more than speakers
    x = torch.randn(9, 30, generator=torch.Generator().manual_seed(2))
    (back_end,) = FITS["plda"]([x], speaker, CONFIG)
    assert back_end.settings == ("dims=2", "dims=4")
    dims = [int(setting.partition("=")[2]) for setting in back_end.settings]
    assert all(a < b for a, b in pairwise(dims))
