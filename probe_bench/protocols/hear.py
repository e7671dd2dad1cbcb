"""HEAR (Turian et al. 2022): an MLP on one vector a clip, its setting drawn from a grid.

Facts: hear-eval-kit 8559649, `heareval/predictions/task_predictions.py`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from torch import Tensor, nn

from probe_bench.protocols.protocol import Heads, Protocol, Sizes, Variant
from probe_bench.protocols.training import Candidate, Dropout, Regime

__all__ = ["PROTOCOL"]

_SEED = 42
_TRIED = 8  # of the grid
_WIDTH, _DROPOUT = 1024, 0.1


@dataclass(frozen=True)
class _Point:
    """A point of the grid; the order of the fields is the order in which it is spanned."""

    hidden_layers: int
    initialization: str
    lr: float


_GRID = [
    _Point(*each) for each in product((1, 2), ("uniform", "normal"), (3.2e-3, 1e-3, 3.2e-4, 1e-4))
]
_FIRST: dict[str, Callable[..., Tensor]] = {
    "uniform": nn.init.xavier_uniform_,
    "normal": nn.init.xavier_normal_,
}


def _mlp(point: _Point, sizes: Sizes) -> nn.Module:
    """Linear, batch norm, dropout, ReLU; once or twice; then linear."""
    modules: list[nn.Module] = []
    width, before = sizes.dim, "linear"
    for _ in range(point.hidden_layers):
        modules += [
            _linear(width, _WIDTH, point, before),
            nn.BatchNorm1d(_WIDTH),
            Dropout(_DROPOUT),
            nn.ReLU(),
        ]
        width, before = _WIDTH, "relu"
    return nn.Sequential(*modules, _linear(width, sizes.classes, point, before))


def _linear(columns: int, rows: int, point: _Point, before: str) -> nn.Linear:
    """A layer whose first weights are scaled for what comes before it."""
    linear = nn.Linear(columns, rows)
    gain = nn.init.calculate_gain("relu" if before == "relu" else "linear")
    _FIRST[point.initialization](linear.weight, gain=gain)
    return linear


def _candidates(sizes: Sizes) -> list[Candidate]:
    """The 8 of 16 points that HEAR's seed draws."""
    points = list(_GRID)
    random.Random(_SEED).shuffle(points)  # noqa: S311  the very numbers that HEAR draws
    return [
        Candidate(
            setting=f"hidden_layers={p.hidden_layers};initialization={p.initialization};lr={p.lr:g}",
            shape=str(p.hidden_layers),
            build=partial(_mlp, p, sizes),
            lr=p.lr,
        )
        for p in points[:_TRIED]
    ]


_REGIME = Regime(
    batch_size=1024,
    counted_in="epochs",
    longest=500,
    check_every=3,
    patience=20,
    skip_single=True,
    seed=_SEED,
)
_HONEST = Variant(name="hear-honest", heads=Heads(candidates=_candidates, regime=_REGIME))
_UNSHUFFLED = (
    "training data are never shuffled (the loader looks for 'train' and is given ['train'])"
)


def _clips(folds: bool, tags: bool) -> tuple[Variant, ...]:
    del tags
    published = replace(
        _HONEST,
        name="hear",
        heads=Heads(candidates=_candidates, regime=replace(_REGIME, shuffled=False)),
        grid_once=folds,
        fault=_UNSHUFFLED
        + ("; the setting is chosen on the first fold for all folds" if folds else ""),
    )
    return published, _HONEST


PROTOCOL = Protocol(
    name="hear",
    summary="MLP on mean-pooled last layer, 8 settings drawn of 16, early stopping",
    source="Turian et al. 2022, HEAR; hear-eval-kit 8559649",
    sums_layers=False,
    clips=_clips,
    departures=(
        (
            "a clip is the mean of the last layer's frames; HEAR takes what the encoder's author calls its "
            "scene embedding"
        ),
        "test predictions of all folds are scored together; HEAR averages the folds' scores",
        "tasks with events in time are not here",
    ),
)
