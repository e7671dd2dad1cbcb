"""Emotion: how an unseen speaker feels.

Metrics:
    `uar`: unweighted average recall, so that frequent emotions do not count more.
"""

from probe_bench.task import Measure, Task

__all__ = ["TASK"]

TASK = Task(
    name="emotion",
    summary="emotion of unseen speakers",
    label="emotion",
    unit="clip",
    disjoint=("speaker",),
    cluster="speaker",
    measures=(
        Measure(probe="logistic", metrics=("uar",)),
        Measure(probe="ridge", metrics=("uar",)),
    ),
    corpus="speech",
)
