"""Choose the strength of logistic regression on validation data without solving every one to the end.

Strengths are compared where their objective is within about a thousandth of its optimum: there validation
scores are settled to a few tenths of a point (docs/LOG.md), in a third of the passes. A case's path
ends where validation has clearly fallen, by more than two points below its best: the weak strengths
beyond cost the most passes. Only the chosen strength of each case is then solved to the end, all cases in one batch.
"""

import math
from collections.abc import Callable, Sequence

import torch

from probe_bench.probes.linear import LinearPath
from probe_bench.probes.logistic import LogisticPath, LogisticProblems

__all__ = ["Judge", "search"]

Judge = Callable[[int, LinearPath], float]
"""Validation value of a case's probe, a share of 1; higher is better, NaN where undefined."""

_ROUGH, _FINE = 3e-4, 1e-7  # estimated relative gaps; true ones stay within ten times of them
_FALLEN = 0.02


def search(problems: LogisticProblems, l2: Sequence[float], judge: Judge) -> list[LogisticPath]:
    """Fit every case (layer and fold) at the strength that validates best.

    Args:
        problems: One family of problems over several cases.
        l2: Strengths, positive; of equally good ones the strongest is kept.
        judge: Scores a probe on validation data.

    Returns:
        One probe a case, at the optimum of its objective, with the passes that all strengths took.
    """
    cases = range(len(problems.start))
    point, chosen = problems.start.clone(), problems.start.clone()
    best, strengths = [-math.inf] * len(cases), [max(l2)] * len(cases)
    passes = torch.zeros(point.shape[:2], dtype=torch.long, device=point.device)
    running = list(cases)
    for strength in sorted(set(l2), reverse=True):
        solved = problems.solve(running, point[running], [strength] * len(running), _ROUGH)
        point[running] = solved.point
        passes[running] += solved.passes
        for case in tuple(running):
            value = judge(case, problems.probe(case, strength, point[case]))
            if value > best[case]:
                chosen[case], best[case], strengths[case] = point[case], value, strength
            elif value < best[case] - _FALLEN:
                running.remove(case)
        if not running:
            break
    final = problems.solve(cases, chosen, strengths, _FINE)
    passes += final.passes
    return [
        LogisticPath(
            l2=probe.l2,
            weight=probe.weight,
            intercept=probe.intercept,
            passes=(int(passes[case].max()),),
            gap=(float(final.gap[case].max()),),
        )
        for case in cases
        for probe in [problems.probe(case, strengths[case], final.point[case])]
    ]
