"""Encoders of known cutoff, family by family: what the data sheet of the modulation analysis measures."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from scipy.optimize import brentq
from torch import Tensor

from probe_bench.studies.known_cutoffs import (
    causal,
    hard_codes,
    linear,
    mixture,
    normed,
    out_of_perceptron,
    patches,
    pooled,
    soft_codes,
    through_perceptron,
    transformer,
)
from probe_bench.studies.made import FRAME_RATE_HZ, Part
from probe_bench.studies.nuisances import noisy, with_massive_dimensions, with_positions

__all__ = ["CUTOFFS_HZ", "FAMILIES", "Cell", "cells"]

CUTOFFS_HZ = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0)
SLOW_HZ = 1.5
_QUIET_DB = 30.0

Make = Callable[[float, int, int], Part]  # of cutoff, frames per token, seed


@dataclass(frozen=True, kw_only=True)
class Cell:
    """An encoder of known cutoff.

    Attributes:
        family: What it is.
        support_hz: Its cutoff.
        emphasis_hz: Cutoff of most of its variance.
        per_token: Frames of 10 ms a token.
        part: Makes the layer from a seed and the codes of k-means.
    """

    family: str
    support_hz: float
    emphasis_hz: float
    per_token: int
    part: Callable[[int, Tensor], Part]


def _quiet(make: Make) -> Make:
    """Add noise at 30 dB, drawn from the tokens."""
    return lambda hz, n, seed: noisy(make(hz, n, seed), _QUIET_DB, seed=seed)


def _loud(hz: float, n: int, seed: int, *, wandering: bool) -> Part:
    return noisy(linear(hz, n, seed), 0.0, wandering=wandering, seed=seed)


def _several(hz: float | None, n: int, seed: int) -> Part:
    return patches(hz, n, seed)


FILTERED: dict[str, Make] = {
    "linear": _quiet(linear),
    "causal filter": _quiet(causal),
    "layer norm": _quiet(normed),
    "filter then perceptron": _quiet(through_perceptron),
    "perceptron then filter": _quiet(out_of_perceptron),
    "random transformer": _quiet(lambda hz, n, seed: transformer(hz, 3, n, seed)),
    "soft codes": _quiet(soft_codes),
    "noise at 0 dB": partial(_loud, wandering=False),
    "1/f² drift at 0 dB": partial(_loud, wandering=True),
    "position codes": lambda hz, n, seed: with_positions(_quiet(linear)(hz, n, seed)),
    "dead and massive dims": lambda hz, n, seed: with_massive_dimensions(
        _quiet(linear)(hz, n, seed)
    ),
    "90/10 mixture": _quiet(lambda hz, n, seed: mixture(SLOW_HZ, hz, n, seed)),
}
OPEN: dict[str, Callable[[int, int], Part]] = {
    "no filter (linear)": lambda n, seed: noisy(linear(None, n, seed), _QUIET_DB, seed=seed),
    "no filter (perceptron)": lambda n, seed: noisy(
        through_perceptron(None, n, seed), _QUIET_DB, seed=seed
    ),
}
FAMILIES = (*FILTERED, "hard codes", "mean-pool", "patches of 80 ms", *OPEN)


def cells(per_token: int) -> Iterator[Cell]:
    """List all encoders at a rate of tokens."""
    if per_token <= 8:
        yield from _of_any_rate(per_token)
    if per_token == 8:
        for hz in CUTOFFS_HZ:
            make = partial(_quiet(_several), hz, 8)
            yield _cell("patches of 80 ms", hz, 8, _uncoded(make))
    if per_token >= 4:
        hz, make = _pool_hz(per_token), partial(_pooled, per_token)
        yield _cell("mean-pool", hz, per_token, _uncoded(make))


def _of_any_rate(per_token: int) -> Iterator[Cell]:
    for family, make in FILTERED.items():
        for hz in CUTOFFS_HZ:
            yield from _filtered(family, make, hz, per_token)
    for hz in CUTOFFS_HZ:
        if hz < FRAME_RATE_HZ / per_token / 2:
            yield _cell("hard codes", hz, per_token, _coded(hz, per_token))
    for family, free in OPEN.items():
        yield _cell(family, math.inf, per_token, _uncoded(partial(free, per_token)))


def _filtered(family: str, make: Make, hz: float, per_token: int) -> Iterator[Cell]:
    """Most families are read below half the token rate only; those above have one gain with aliases."""
    if family == "90/10 mixture" and hz < 2 * SLOW_HZ:
        return
    if family != "linear" and hz >= FRAME_RATE_HZ / per_token / 2:
        return
    emphasis_hz = _mixed_hz(hz) if family == "90/10 mixture" else hz
    yield Cell(
        family=family,
        support_hz=hz,
        emphasis_hz=emphasis_hz,
        per_token=per_token,
        part=_uncoded(partial(make, hz, per_token)),
    )


def _cell(family: str, hz: float, per_token: int, part: Callable[[int, Tensor], Part]) -> Cell:
    return Cell(family=family, support_hz=hz, emphasis_hz=hz, per_token=per_token, part=part)


def _uncoded(make: Callable[[int], Part]) -> Callable[[int, Tensor], Part]:
    return lambda seed, _: make(seed)


def _coded(hz: float, per_token: int) -> Callable[[int, Tensor], Part]:
    return lambda _, codes: hard_codes(hz, codes, per_token)


def _pooled(n: int, seed: int) -> Part:
    return noisy(pooled(n, seed), _QUIET_DB, seed=seed)


def _pool_hz(n: int) -> float:
    """Half power of the mean of n frames, sin(n x) / (n sin x) at x = pi f / 100."""

    def excess(hz: float) -> float:
        x = math.pi * hz / FRAME_RATE_HZ
        return (math.sin(n * x) / (n * math.sin(x))) ** 2 - 0.5

    return float(brentq(excess, 0.1, FRAME_RATE_HZ / n))


def _mixed_hz(fast_hz: float) -> float:
    """Half power of 9 parts behind a filter at 1.5 Hz and .81 parts behind another."""

    def excess(hz: float) -> float:
        slow, fast = (1 / (1 + (hz / fc) ** 8) for fc in (SLOW_HZ, fast_hz))
        return (9 * slow + 0.81 * fast) / 9.81 - 0.5

    return float(brentq(excess, 0.5, fast_hz))
