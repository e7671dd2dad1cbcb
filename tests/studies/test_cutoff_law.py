"""The line through log cutoff against log span, its interval, and the rule that decides."""

import dataclasses

import numpy as np
import pytest
from jaxtyping import Float
from scipy import optimize, stats

from probe_bench.studies.cutoff.law import Line, Points, decide, fit_line

SPANS_S = np.tile([0.05, 0.1, 0.2, 0.4, 1.0], 3)
SEEDS = np.repeat([0, 1, 2], 5)


def _points(
    rng: np.random.Generator, *, slope: float, sigma: float, limit: float = np.inf, least: float = 0
) -> Points:
    """Cutoffs on a power law that goes through 1 / 2T at 1 s, every seed 10 % above the one before."""
    noise = sigma * rng.standard_normal(len(SPANS_S))
    hz = np.exp(np.log(0.5) + slope * np.log(SPANS_S) + 0.1 * SEEDS + noise)
    return Points(
        span_s=SPANS_S,
        hz=hz.clip(least, limit),
        above=hz > limit,
        below=hz < least,
        seed=SEEDS,
    )


def _least_squares(points: Points) -> tuple[float, float, float]:
    """Slope and t interval of a regression with one column a seed."""
    seeds = (points.seed[:, None] == np.unique(points.seed)).astype(float)
    design = np.c_[np.log(points.span_s), seeds]
    found, rest, *_ = np.linalg.lstsq(design, np.log(points.hz), rcond=None)
    df = len(points.hz) - design.shape[1]
    error = np.sqrt(rest[0] / df * np.linalg.inv(design.T @ design)[0, 0])
    half = stats.t.ppf(0.975, df) * error
    return found[0], found[0] - half, found[0] + half


def test_where_nothing_is_censored_it_is_least_squares_with_the_t_interval() -> None:
    points = _points(np.random.default_rng(0), slope=-0.3, sigma=0.2)
    line = fit_line(points)
    assert (line.slope, line.low, line.high) == pytest.approx(_least_squares(points), abs=1e-6)
    assert line.n_censored == 0


def _slowly(points: Points) -> float:
    """The slope of largest Tobit likelihood, all parameters at once from many starts."""

    def cost(parameters: Float[np.ndarray, " n"]) -> float:
        slope, *levels, log_sigma = parameters
        centre = np.array(levels)[points.seed] + slope * np.log(points.span_s)
        law = stats.norm(centre, np.exp(log_sigma))
        y = np.log(points.hz)
        told = np.select([points.above, points.below], [law.logsf(y), law.logcdf(y)], law.logpdf(y))
        return -float(told.sum())

    starts = [np.r_[slope, 0, 0, 0, -1.5] for slope in (-1.0, -0.3)]
    options = {"maxiter": 4000, "xatol": 1e-7, "fatol": 1e-9}
    found = [optimize.minimize(cost, s, method="Nelder-Mead", options=options) for s in starts]
    return float(min(found, key=lambda result: result.fun).x[0])


def test_censored_cutoffs_count_as_a_slow_tobit_has_them() -> None:
    points = _points(np.random.default_rng(1), slope=-1, sigma=0.2, limit=6.0, least=0.6)
    line = fit_line(points)
    assert line.n_censored > 3
    assert line.slope == pytest.approx(_slowly(points), abs=2e-3)
    # Taking the limits for measurements would flatten the line.
    assert _least_squares(points)[0] > line.slope + 0.1


def test_the_interval_holds_the_slope_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    lines = [fit_line(_points(rng, slope=-1, sigma=0.2)) for _ in range(250)]
    held = np.mean([line.low <= -1 <= line.high for line in lines])  # type: ignore[operator]
    assert 0.92 < held < 0.98


@pytest.mark.slow
def test_the_interval_holds_the_slope_under_censoring() -> None:
    rng = np.random.default_rng(3)
    lines = [fit_line(_points(rng, slope=-1, sigma=0.2, limit=6.0)) for _ in range(200)]
    held = np.mean([line.low <= -1 <= line.high for line in lines])  # type: ignore[operator]
    assert 0.91 < held < 0.99


@pytest.mark.parametrize(
    ("slope", "sigma", "decision"),
    [
        (-1.0, 0.1, "law"),
        (0.0, 0.1, "no effect"),
        (-0.5, 0.1, "different law"),
        (-0.5, 3.0, "undecided"),
    ],
)
def test_the_rule_on_planted_slopes(slope: float, sigma: float, decision: str) -> None:
    assert decide(fit_line(_points(np.random.default_rng(4), slope=slope, sigma=sigma))) == decision


def test_the_right_slope_at_the_wrong_place_is_another_law() -> None:
    line = Line(slope=-1.0, low=-1.1, high=-0.9, constant=4.0, n=15, n_censored=0, n_seeds=3)
    assert decide(line) == "different law"


def test_one_seed_decides_nothing() -> None:
    line = Line(slope=-1.0, low=-1.1, high=-0.9, constant=1.0, n=5, n_censored=0, n_seeds=1)
    assert decide(line) == "undecided"
    assert decide(dataclasses.replace(line, n=10, n_seeds=2)) == "law"


def test_nothing_is_made_of_one_span_or_of_limits_alone() -> None:
    points = _points(np.random.default_rng(5), slope=0, sigma=0.01, limit=0.1)
    assert points.above.all()
    line = fit_line(points)
    assert line.slope is None
    assert decide(line) == "not measured"
