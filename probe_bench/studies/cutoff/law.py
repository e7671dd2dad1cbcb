"""The law fc = 1 / (2 T) put to the test: a line through log cutoff against log mask span.

    log fc = a_s + b log T + error,        a_s one level a seed, error N(0, sigma^2)

The law says b = -1 and fc 2T = 1. A seed is a block: its trainings share first weights and crops, so its level
is taken out. Cutoffs beyond what can be measured are censored: they add the probability of lying
there (Tobin 1958, 10.2307/1907382). The interval of b holds every slope whose profile likelihood is not too
low; the limit n log(1 + t^2 / df) is the one that makes it the t interval of least squares where nothing
is censored, with n and df counting what was measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, stats

__all__ = ["SLOPE_OF_LAW", "Decision", "Line", "Points", "decide", "fit_line"]

SLOPE_OF_LAW = -1.0
_WIDTH = 0.25  # of the zones around the law's slope and around none
_CONSTANT = (2 / 3, 3 / 2)  # where fc 2T may lie if the law holds
_FARTHEST = 20.0  # of a slope's interval from the estimate

Decision = Literal["law", "no effect", "different law", "undecided", "not measured"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Cutoffs of trainings that differ in mask span and seed alone.

    Attributes:
        span_s: Mask spans.
        hz: Cutoffs; the limit where one is censored.
        above: Cutoffs that lie above it.
        below: Cutoffs that lie below it.
        seed: Of the training.
    """

    span_s: Float[np.ndarray, " n"]
    hz: Float[np.ndarray, " n"]
    above: Bool[np.ndarray, " n"]
    below: Bool[np.ndarray, " n"]
    seed: Int[np.ndarray, " n"]

    @property
    def measured(self) -> Bool[np.ndarray, " n"]:
        """Cutoffs that are neither above nor below what can be measured."""
        known: Bool[np.ndarray, " n"] = ~(self.above | self.below)
        return known


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What the fit says.

    Attributes:
        slope: b; None where it cannot be told.
        low: Lower end of its 95 % interval.
        high: Upper end.
        constant: fc 2T on the line at `centre_s`: 1 where the law holds.
        centre_s: Geometric mean of the spans.
        sigma: Standard deviation of log fc around the line.
        n: Trainings.
        n_censored: Those beyond what can be measured.
        n_seeds: Blocks.
    """

    slope: float | None
    low: float | None = None
    high: float | None = None
    constant: float | None = None
    centre_s: float | None = None
    sigma: float | None = None
    n: int
    n_censored: int
    n_seeds: int


def fit_line(points: Points) -> Line:
    """Fit the slope with its interval.

    It is left open where fewer than two spans have a measured cutoff, and the interval where no degree
    of freedom is left.
    """
    n, measured = len(points.hz), points.measured
    counts = {"n": n, "n_censored": n - int(measured.sum()), "n_seeds": len(set(points.seed))}
    if len(np.unique(points.span_s[measured])) < 2:
        return Line(slope=None, **counts)
    cost = _Cost(points)
    slope = cost.best_slope()
    lowest, levels, sigma = cost.at(slope)
    constant = float(2 * np.exp(levels.mean() + cost.centre))
    df = int(measured.sum()) - len(levels) - 1
    low = high = None
    if df > 0:
        room = measured.sum() * np.log1p(stats.t.ppf(0.975, df) ** 2 / df) / 2
        low, high = (_crossing(lambda b: cost.at(b)[0] - lowest - room, slope, s) for s in (-1, 1))
        sigma *= float(np.sqrt(measured.sum() / df))
    return Line(
        slope=slope,
        low=low,
        high=high,
        constant=constant,
        centre_s=float(np.exp(cost.centre)),
        sigma=sigma,
        **counts,
    )


class _Cost:
    """Negative log likelihood of a slope, with levels and sigma at their best."""

    def __init__(self, points: Points) -> None:
        log_span = np.log(points.span_s)
        self.centre = float(log_span.mean())
        self.x, self.y = log_span - self.centre, np.log(points.hz)
        self.points = points
        _, self.block = np.unique(points.seed, return_inverse=True)
        self.n_blocks = int(self.block.max()) + 1

    def best_slope(self) -> float:
        found = optimize.minimize_scalar(
            lambda b: self.at(b)[0], bracket=(-1.0, 0.0), options={"xtol": 1e-10}
        )
        return float(found.x)

    def at(self, slope: float) -> tuple[float, Float[np.ndarray, " blocks"], float]:
        """Return the cost, the levels and sigma."""
        rest = self.y - slope * self.x
        measured = self.points.measured
        start = np.array([self._level(rest, measured, k) for k in range(self.n_blocks)])
        spread = max(float(np.std((rest - start[self.block])[measured])), 1e-6)
        if measured.all():
            n = len(rest)
            return n * (np.log(spread) + 0.5), start, spread
        found = optimize.minimize(
            self._joint, np.r_[start, np.log(spread)], args=(rest,), method="L-BFGS-B"
        )
        return float(found.fun), found.x[:-1], float(np.exp(found.x[-1]))

    def _level(self, rest: np.ndarray, measured: np.ndarray, block: int) -> float:
        mine = self.block == block
        chosen = mine & measured if (mine & measured).any() else mine
        return float(rest[chosen].mean())

    def _joint(self, parameters: np.ndarray, rest: np.ndarray) -> float:
        """Cost of levels and log sigma: densities of measured points, tails of censored ones."""
        log_sigma = np.clip(parameters[-1], -14, 5)
        z = (rest - parameters[:-1][self.block]) / np.exp(log_sigma)
        points = self.points
        cost = np.where(points.above, -stats.norm.logsf(z), log_sigma + z**2 / 2)
        return float(np.where(points.below, -stats.norm.logcdf(z), cost).sum())


def _crossing(excess: Callable[[float], float], start: float, sign: int) -> float | None:
    """Where the cost leaves the room that it has, going one way; None if it never does."""
    step = 0.05
    while excess(start + sign * step) < 0:
        step *= 2
        if step > _FARTHEST:
            return None
    return float(optimize.brentq(excess, start, start + sign * step, xtol=1e-8))


def decide(line: Line) -> Decision:
    """Apply the rule that was fixed before any training: the first that holds.

    *law*: the interval of b lies within -1 ± 0.25 and fc 2T within 2/3 to 3/2. *no effect*: it lies within
    0 ± 0.25. *different law*: it excludes 0, and -1 or the constant. *undecided*: anything else, and
    whatever a single seed shows; it is no evidence for anything.
    """
    if line.slope is None:
        return "not measured"
    if line.n_seeds < 2 or line.low is None or line.high is None or line.constant is None:
        return "undecided"
    within = _CONSTANT[0] <= line.constant <= _CONSTANT[1]
    if _inside(line, SLOPE_OF_LAW) and within:
        return "law"
    if _inside(line, 0.0):
        return "no effect"
    excludes_none = line.low > 0 or line.high < 0
    excludes_law = line.low > SLOPE_OF_LAW or line.high < SLOPE_OF_LAW or not within
    return "different law" if excludes_none and excludes_law else "undecided"


def _inside(line: Line, centre: float) -> bool:
    assert line.low is not None
    assert line.high is not None
    return centre - _WIDTH <= line.low and line.high <= centre + _WIDTH
