"""SIGReg, RDMReg and the projector against closed forms, scipy, numpy and slow loops."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from probe_bench.encoders.pretraining.blocks.projector import GatheredBatchNorm, ProjectorShape
from probe_bench.encoders.pretraining.losses.rdmreg import (
    RdmReg,
    nonzero_fraction,
    rectified_sample,
    sliced_wasserstein,
    unit_scale,
)
from probe_bench.encoders.pretraining.losses.sigreg import (
    SigReg,
    epps_pulley,
    epps_pulley_exact,
    sigreg,
    unit_directions,
)

FOUR = [-1.0, 0.0, 0.5, 2.0]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _integrand(values: np.ndarray, t: float) -> float:
    """|phi(t) - exp(-t^2/2)|^2 exp(-t^2/2), with the complex exponential itself."""
    phi = np.exp(1j * t * values).mean()
    return float(abs(phi - math.exp(-t * t / 2)) ** 2 * math.exp(-t * t / 2))


def _trapezoid(values: np.ndarray, knots: int, limit: float) -> float:
    t = np.linspace(-limit, limit, 2 * knots - 1)
    return len(values) * float(np.trapezoid([_integrand(values, x) for x in t], t))


def test_the_table_of_the_closed_form_and_the_quadrature() -> None:
    zeros, four = torch.zeros(7, dtype=torch.float64), torch.tensor(FOUR, dtype=torch.float64)
    assert epps_pulley_exact(zeros).item() / 7 == pytest.approx(0.40892, abs=1e-5)
    assert epps_pulley(zeros[:, None]).item() / 7 == pytest.approx(0.40205, abs=1e-5)
    assert epps_pulley_exact(four).item() == pytest.approx(0.21907, abs=1e-5)
    assert epps_pulley(four[:, None]).item() == pytest.approx(0.21421, abs=1e-5)


@pytest.mark.parametrize("values", [FOUR, [0.3], [-4.0, 4.0], list(np.linspace(-3, 5, 20))])
def test_the_closed_form_is_the_integral(values: list[float]) -> None:
    array = np.array(values)
    integral, _ = scipy.integrate.quad(lambda t: _integrand(array, t), -np.inf, np.inf, limit=200)
    exact = epps_pulley_exact(torch.tensor(values, dtype=torch.float64)).item()
    assert exact == pytest.approx(len(values) * integral, rel=1e-6)


@pytest.mark.parametrize(("knots", "limit"), [(17, 3.0), (9, 5.0), (3, 1.0)])
def test_the_quadrature_is_the_trapezoid_rule_on_both_sides(knots: int, limit: float) -> None:
    values = torch.randn(30, 3, dtype=torch.float64) * 1.7 + 0.4
    got = epps_pulley(values, knots=knots, limit=limit)
    expected = [_trapezoid(column.numpy(), knots, limit) for column in values.T]
    np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_a_fine_quadrature_gives_the_closed_form() -> None:
    values = torch.randn(50, 4, dtype=torch.float64)
    got = epps_pulley(values, knots=400, limit=10.0)
    expected = torch.stack([epps_pulley_exact(column) for column in values.T])
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rows", [8, 64, 512])
def test_the_floor_does_not_depend_on_the_number_of_rows(rows: int) -> None:
    samples = torch.randn(rows, 8000)
    quadrature = epps_pulley(samples).mean().item()
    floor = math.sqrt(2 * math.pi) - math.sqrt(2 * math.pi / 3)
    assert floor == pytest.approx(1.0594, abs=1e-4)
    assert quadrature == pytest.approx(1.05, abs=0.05)
    if rows <= 64:
        exact = np.mean([epps_pulley_exact(column).item() for column in samples.T[:2000]])
        assert exact == pytest.approx(floor, abs=0.1)


def test_gradcheck_of_the_statistic() -> None:
    values = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(epps_pulley, (values,))
    assert torch.autograd.gradcheck(lambda x: epps_pulley(x, knots=5, limit=2.0), (values,))


def _naive_sigreg(z: Tensor, directions: Tensor, knots: int, limit: float) -> Tensor:
    """SIGReg with a tensor of rows x directions x knots, left to autograd."""
    t = torch.linspace(0, limit, knots, dtype=z.dtype)
    angles = (z @ directions)[..., None] * t
    window = torch.exp(-t.square() / 2)
    error = (angles.cos().mean(0) - window).square() + angles.sin().mean(0).square()
    return len(z) * 2 * torch.trapezoid(error * window, t, dim=-1).mean()


@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 40),
    dim=st.integers(1, 12),
    count=st.integers(1, 20),
    scale=st.floats(0.01, 10),
)
def test_value_and_gradient_agree_with_autograd(
    rows: int, dim: int, count: int, scale: float
) -> None:
    z = (scale * torch.randn(rows, dim)).requires_grad_()
    directions = unit_directions(dim, count, torch.default_generator)
    ours = sigreg(z, directions)
    (gradient,) = torch.autograd.grad(3 * ours, z)
    naive = _naive_sigreg(z, directions, 17, 3.0)
    (expected,) = torch.autograd.grad(3 * naive, z)
    torch.testing.assert_close(ours, naive, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)


def test_directions_are_units_everywhere_on_the_sphere_and_fresh() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        directions = unit_directions(8, 20_000, torch.default_generator)
    assert directions.dtype == torch.float32
    torch.testing.assert_close(directions.norm(dim=0), torch.ones(20_000))
    assert directions.mean(1).abs().max() < 0.02
    covariance = directions @ directions.T / 20_000
    assert (covariance - torch.eye(8) / 8).abs().max() < 0.01
    rule = SigReg(weight=1.0, directions=4)
    z = torch.randn(20, 8)
    assert rule.penalty(z) != rule.penalty(z)


def test_sigreg_is_computed_in_float32_whatever_autocast_says() -> None:
    z, directions = torch.randn(64, 8), unit_directions(8, 32, torch.default_generator)
    with torch.autocast("cpu", torch.bfloat16):
        inside = sigreg(z.bfloat16(), directions)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, sigreg(z.bfloat16().float(), directions))


def test_descending_sigreg_spreads_rows_around_zero() -> None:
    # Not from far away: no knot of the quadrature pulls at rows far outside of the others.
    z = torch.nn.Parameter(torch.rand(128, 4) + 1)
    optimiser = torch.optim.Adam([z], lr=0.1)
    rule = SigReg(weight=1.0, directions=64)
    assert rule.penalty(z).item() > 100
    for _ in range(100):
        optimiser.zero_grad()
        rule.penalty(z).backward()
        optimiser.step()
    assert rule.penalty(z).item() < 1.2
    assert z.detach().mean(0).abs().max() < 0.3
    variances = torch.linalg.eigvalsh(torch.cov(z.detach().T))
    assert variances.min() > 0.5
    assert variances.max() < 3


def test_collapse_costs_much_more_than_the_floor() -> None:
    rule, rows = SigReg(weight=1.0), 200
    alive = rule.penalty(torch.randn(rows, 16))
    assert alive < 1.3
    assert rule.penalty(torch.zeros(rows, 16)) == pytest.approx(0.40205 * rows, rel=1e-3)
    assert rule.penalty(torch.randn(rows, 1).expand(-1, 16) / 4) > 3 * alive


@pytest.mark.parametrize(("shape", "scale"), [(1.0, 0.7071), (2.0, 1.0), (0.5, 0.3651)])
def test_unit_scale(shape: float, scale: float) -> None:
    assert unit_scale(shape) == pytest.approx(scale, abs=1e-4)
    # GN_p is scipy's generalised normal with scale p^(1/p).
    spread = scipy.stats.gennorm(shape, scale=shape ** (1 / shape)).std()
    assert unit_scale(shape) == pytest.approx(1 / spread)


@pytest.mark.parametrize(
    ("mean", "share"), [(-3.0, 0.007), (-2.0, 0.030), (-1.0, 0.122), (0.0, 0.5), (1.0, 0.878)]
)
def test_nonzero_fractions_of_the_laplace_target(mean: float, share: float) -> None:
    assert nonzero_fraction(mean, unit_scale(1.0), 1.0) == pytest.approx(share, abs=1e-3)
    assert RdmReg(weight=1.0, mean=mean).nonzero_fraction == pytest.approx(share, abs=1e-3)
    sample = rectified_sample(20_000, 5, shape=1.0, mean=mean, generator=torch.default_generator)
    assert (sample > 0).float().mean().item() == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("mean", [-1.0, 0.0, 0.7])
def test_nonzero_fraction_is_the_survival_function(shape: float, mean: float) -> None:
    for scale in (0.4, 1.0):
        law = scipy.stats.gennorm(shape, loc=mean, scale=scale * shape ** (1 / shape))
        assert nonzero_fraction(mean, scale, shape) == pytest.approx(law.sf(0))


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_the_sample_has_the_rectified_law(shape: float, mean: float) -> None:
    sample = (
        rectified_sample(40_000, 1, shape=shape, mean=mean, generator=torch.default_generator)
        .numpy()
        .ravel()
    )
    law = scipy.stats.gennorm(shape, loc=mean, scale=unit_scale(shape) * shape ** (1 / shape))
    assert law.std() == pytest.approx(1)
    assert (sample >= 0).all()
    positive = sample[sample > 0]

    def above(x: np.ndarray) -> np.ndarray:
        """Distribution function of the law given that it is positive."""
        return np.asarray((law.cdf(x) - law.cdf(0)) / law.sf(0))

    assert scipy.stats.kstest(positive, above).pvalue > 1e-3
    for power in (1, 2):
        moment, _ = scipy.integrate.quad(lambda x, p=power: x**p * law.pdf(x), 0, np.inf)
        assert (sample**power).mean() == pytest.approx(moment, rel=0.05)


def test_a_stated_scale_is_used() -> None:
    sample = rectified_sample(
        20_000, 1, shape=2.0, mean=0.0, scale=3.0, generator=torch.default_generator
    )
    # E max(0, N(0, 9)) = 3 / sqrt(2 pi)
    assert sample.mean().item() == pytest.approx(3 / math.sqrt(2 * math.pi), rel=0.05)


def test_sliced_wasserstein_agrees_with_assignment() -> None:
    """The optimal pairing of two samples, by the Hungarian method in place of sorting."""
    ours, theirs = torch.randn(12, 3), 2 * torch.rand(12, 3)
    directions = unit_directions(3, 5, torch.default_generator)
    costs = []
    for direction in directions.T:
        gaps = ((ours @ direction)[:, None] - (theirs @ direction)[None]).square().numpy()
        rows, columns = scipy.optimize.linear_sum_assignment(gaps)
        costs.append(gaps[rows, columns].mean())
    got = sliced_wasserstein(ours, theirs, directions).item()
    assert got == pytest.approx(np.mean(costs), rel=1e-5)


def test_sliced_wasserstein_of_known_samples() -> None:
    sample = torch.randn(50, 4)
    directions = unit_directions(4, 16, torch.default_generator)
    shuffled = sample[torch.randperm(50)]
    assert sliced_wasserstein(sample, shuffled, directions).item() == pytest.approx(0, abs=1e-10)
    # A shift by v costs the mean squared length of v along the directions.
    shift = torch.tensor([1.0, -2.0, 0.5, 0.0])
    expected = (shift @ directions).square().mean().item()
    assert sliced_wasserstein(sample + shift, sample, directions).item() == pytest.approx(expected)


def test_gradcheck_of_sliced_wasserstein() -> None:
    # gradcheck needs float64, which the function leaves for float32: finite differences by hand.
    z = torch.randn(9, 3).requires_grad_()
    target, directions = torch.rand(9, 3), unit_directions(3, 6, torch.default_generator)
    (gradient,) = torch.autograd.grad(sliced_wasserstein(z, target, directions), z)
    a, b, u = z.detach().double(), target.double(), directions.double()

    def value(x: Tensor) -> float:
        total = sum(
            (np.sort((x @ d).numpy()) - np.sort((b @ d).numpy())) ** 2 / len(u.T) / len(x)
            for d in u.T
        )
        return float(np.sum(total))

    for row in range(9):
        for column in range(3):
            step = torch.zeros(9, 3, dtype=torch.float64)
            step[row, column] = 1e-6
            slope = (value(a + step) - value(a - step)) / 2e-6
            assert gradient[row, column].item() == pytest.approx(slope, abs=1e-5)


def test_rdmreg_draws_a_fresh_target_and_tells_collapse_from_the_target_law() -> None:
    rule = RdmReg(weight=1.0, projections=256)
    alive = rectified_sample(512, 16, shape=1.0, mean=0.0, generator=torch.default_generator)
    assert rule.penalty(alive) != rule.penalty(alive)
    assert rule.penalty(alive) < 0.05
    assert rule.penalty(torch.zeros(512, 16)) > 0.3
    assert rule.penalty(torch.randn(512, 16)) > 3 * rule.penalty(alive)  # not rectified


def test_descending_rdmreg_reaches_the_stated_nonzero_fraction() -> None:
    rule = RdmReg(weight=1.0, projections=128, mean=-1.0)
    z = torch.nn.Parameter(torch.randn(256, 8))
    optimiser = torch.optim.Adam([z], lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        rule.penalty(z.relu()).backward()
        optimiser.step()
    share = (z.detach() > 0).float().mean().item()
    assert share == pytest.approx(rule.nonzero_fraction, abs=0.1)
    assert rule.penalty(z.detach().relu()).item() < 0.02


def test_batch_norm_is_torchs_in_training() -> None:
    ours, theirs = GatheredBatchNorm(6), torch.nn.BatchNorm1d(6)
    x = torch.randn(11, 6) * 3 + 1
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    with torch.no_grad():
        for module in (ours, theirs):
            module.weight.copy_(torch.arange(1.0, 7.0))
            module.bias.copy_(torch.arange(6.0))
    torch.testing.assert_close(ours(a), theirs(b))
    target = torch.randn(11, 6)
    gradients = [
        torch.autograd.grad((m(v) * target).sum(), v)[0] for m, v in ((ours, a), (theirs, b))
    ]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


def test_projector_is_what_its_shape_says() -> None:
    shape = ProjectorShape(dim=5, hidden=(9, 7), rectify=True)
    kinds = [type(layer).__name__ for layer in shape.build(4).layers]
    hidden = ["Linear", "GatheredBatchNorm", "ReLU"]
    assert kinds == [*hidden, *hidden, "Linear", "ReLU"]
    rows = shape.build(4)(torch.randn(3, 6, 4))
    assert rows.shape == (3, 6, 5)
    assert (rows >= 0).all()
    linear = ProjectorShape(dim=5).build(4)
    assert [type(layer).__name__ for layer in linear.layers] == ["Linear"]
    plain = ProjectorShape(dim=5, hidden=(9,), norm="none").build(4)
    assert [type(layer).__name__ for layer in plain.layers] == ["Linear", "ReLU", "Linear"]
