"""Verification: are two recordings of one speaker, whom training has not heard?

Conventions:
    Open set: train, valid and test share no speaker. Layers, dimensions of PLDA and cohort sizes are
    chosen on pairs of valid clips. Test trials are the corpus's official ones where it has any
    (`probe_bench.trials`), else all pairs of test clips of different recordings.

Metrics:
    `eer`: equal error rate; `mindcf`: minimum detection cost at a target prior of .01. Both: lower is
    better.
"""

from probe_bench.task import Measure, Task

__all__ = ["TASK"]

TASK = Task(
    name="verification",
    summary="are two recordings of one unseen speaker",
    label="speaker",
    unit="clip",
    disjoint=("speaker",),
    cluster="speaker",
    measures=(
        Measure(probe="plda", metrics=("eer", "mindcf")),
        Measure(probe="cosine", metrics=("eer", "mindcf")),
        Measure(probe="as-norm", metrics=("eer", "mindcf")),
    ),
    corpus="speech",
)
