"""Tagging: which sounds occur in a clip; several may.

Metrics:
    `map`: mean over classes of average precision; `macro_auc`: mean area under the ROC curve.
"""

from probe_bench.task import Measure, Task

__all__ = ["TASK"]

TASK = Task(
    name="tagging",
    summary="which sound classes occur in a clip (multi-label)",
    label="tags",
    unit="clip",
    disjoint=("recording",),
    cluster="recording",
    measures=(Measure(probe="logistic", metrics=("map", "macro_auc")),),
    corpus="scenes",
)
