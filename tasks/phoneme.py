"""Phoneme: which phone sounds at each moment, read from single frames of unseen speakers.

Conventions:
    Frame labels stand on a 20 ms grid whatever the encoder's frame rate; each grid point is read
    from the nearest frame. The CTC recogniser reads whole clips and needs no alignment.

Metrics:
    `accuracy` of frames, `per`: phone error rate of greedy CTC decoding (lower is better).
"""

from probe_bench.task import Measure, Task

__all__ = ["TASK"]

TASK = Task(
    name="phoneme",
    summary="which phone sounds at each frame, and phone recognition by CTC",
    label="phones",
    unit="frame",
    disjoint=("speaker",),
    cluster="speaker",
    measures=(
        Measure(probe="logistic", metrics=("accuracy",)),
        Measure(probe="ctc", metrics=("per",)),
    ),
    corpus="speech",
)
