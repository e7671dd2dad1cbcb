"""Choose the strength of logistic regression on validation data without solving every one to the end.

Strengths are compared where their objective is within about a thousandth of its optimum: there validation
scores are settled to a few tenths of a point (docs/LOG.md), in a third of the passes. A layer's path
ends where validation has clearly fallen, by more than two points below its best: the weak strengths
beyond cost the most passes. Only the chosen strength of each layer is then solved to the end, all layers in one batch.
"""

import math
from collections.abc import Callable, Sequence

from probe_bench.probes.linear import LinearPath
from probe_bench.probes.logistic import LogisticProblems

__all__ = ["Judge", "search"]

Judge = Callable[[int, LinearPath], float]
"""Validation value of a layer's probe, a share of 1; higher is better, NaN where undefined."""

_ROUGH, _FINE = 3e-4, 1e-7  # estimated relative gaps; true ones stay within ten times of them
_FALLEN = 0.02


def search(problems: LogisticProblems, l2: Sequence[float], judge: Judge) -> list[LinearPath]:
    """Fit every layer at the strength that validates best.

    Args:
        problems: One family of problems over several layers.
        l2: Strengths, positive; of equally good ones the strongest is kept.
        judge: Scores a probe on validation data.

    Returns:
        One probe a layer, at the optimum of its objective.
    """
    layers = range(len(problems.axes))
    point, chosen = problems.start.clone(), problems.start.clone()
    best, strengths = [-math.inf] * len(layers), [max(l2)] * len(layers)
    running = list(layers)
    for strength in sorted(set(l2), reverse=True):
        solved = problems.solve(running, point[running], [strength] * len(running), _ROUGH)
        point[running] = solved.point
        for layer in tuple(running):
            value = judge(layer, problems.probe(layer, strength, point[layer]))
            if value > best[layer]:
                chosen[layer], best[layer], strengths[layer] = point[layer], value, strength
            elif value < best[layer] - _FALLEN:
                running.remove(layer)
        if not running:
            break
    point = problems.solve(layers, chosen, strengths, _FINE).point
    return [problems.probe(layer, strengths[layer], point[layer]) for layer in layers]
