"""Ranks and isotropy against slow versions and known answers."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.geometry.spectrum import (
    effective_rank,
    eigenvalues,
    isoscore,
    mean_cosine,
    moments,
    participation_ratio,
)

FOLD = torch.arange(40) % 4


@pytest.fixture
def frames() -> Tensor:
    """Forty clips of ten frames, twelve dimensions of falling variance far from the origin."""
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 12, generator=rng) * torch.linspace(2, 0.1, 12)
    return torch.randn(40, 10, 12, generator=rng) @ mixing.T + 5


def rankme(rows: Tensor) -> float:
    singular = torch.linalg.svdvals((rows - rows.mean(0)).double())
    shares = singular / singular.sum() + 1e-7
    return float(torch.exp(-(shares * shares.log()).sum()))


def isoscore_in_seven_steps(rows: Tensor) -> float:
    """Algorithm 1 of Rudman et al. 2022."""
    points = rows.double().numpy()
    _, axes = np.linalg.eigh(np.cov(points.T))
    rotated = points @ axes
    diagonal = np.diag(np.cov(rotated.T))
    d = len(diagonal)
    normalised = np.sqrt(d) * diagonal / np.linalg.norm(diagonal)
    defect = np.linalg.norm(normalised - 1) / np.sqrt(2 * (d - np.sqrt(d)))
    phi = (d - defect**2 * (d - np.sqrt(d))) ** 2 / d**2
    return float((d * phi - 1) / (d - 1))


def test_ranks_are_those_of_the_singular_values(frames: Tensor) -> None:
    variances = eigenvalues(moments(frames, FOLD))
    parts = [frames, *(frames[f != FOLD] for f in range(4))]
    for replicate, part in zip(variances, parts, strict=True):
        rows = part.flatten(0, 1)
        assert float(effective_rank(replicate)) == pytest.approx(rankme(rows), rel=1e-4)
        lambdas = np.linalg.eigvalsh(np.cov(rows.double().numpy().T))
        ratio = lambdas.sum() ** 2 / (lambdas**2).sum()
        assert float(participation_ratio(replicate)) == pytest.approx(ratio, rel=1e-5)
        assert float(isoscore(replicate)) == pytest.approx(isoscore_in_seven_steps(rows), rel=1e-5)


def test_known_answers() -> None:
    rng = torch.Generator().manual_seed(1)
    ball = torch.randn(400, 50, 8, generator=rng)
    fold = torch.arange(400) % 10
    inside = torch.cat([ball, torch.zeros(400, 50, 24)], 2)
    spectrum = eigenvalues(moments(inside @ torch.linalg.qr(torch.randn(32, 32))[0], fold))[0]
    assert float(effective_rank(spectrum)) == pytest.approx(8, rel=0.01)
    assert float(participation_ratio(spectrum)) == pytest.approx(8, rel=0.01)
    assert float(isoscore(spectrum)) == pytest.approx(7 / 31, rel=0.01)
    assert float(isoscore(eigenvalues(moments(ball, fold))[0])) == pytest.approx(1, abs=0.01)
    line = torch.linspace(-1, 1, 400)[:, None] * torch.randn(1, 32)
    assert float(isoscore(eigenvalues(moments(line, fold))[0])) == pytest.approx(0, abs=1e-4)


def test_shift_rotation_and_scale_change_nothing(frames: Tensor) -> None:
    turn = torch.linalg.qr(torch.randn(12, 12))[0]
    before = eigenvalues(moments(frames, FOLD))
    after = eigenvalues(moments(30 * frames @ turn - 100, FOLD))
    for measure in (effective_rank, participation_ratio, isoscore):
        assert torch.allclose(measure(before), measure(after), rtol=1e-3)


def test_mean_cosine_is_that_of_all_pairs_of_frames_of_different_clips(frames: Tensor) -> None:
    found = mean_cosine(frames, FOLD)
    assert found.shape == (5,)
    for value, part in zip(found, [frames, *(frames[f != FOLD] for f in range(4))], strict=True):
        units = torch.nn.functional.normalize(part.double(), dim=2)
        pairs = itertools.combinations(range(len(units)), 2)
        cosines = [float((units[a] @ units[b].T).mean()) for a, b in pairs]
        assert float(value) == pytest.approx(np.mean(cosines), rel=1e-5)


def test_a_constant_has_no_rank() -> None:
    spectrum = eigenvalues(moments(torch.ones(40, 10, 3), FOLD))
    assert effective_rank(spectrum).isnan().all()
    assert participation_ratio(spectrum).isnan().all()
