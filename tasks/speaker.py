"""Speaker: who is talking, and are two recordings of one person?

Conventions:
    Closed set: every speaker is in train, valid and test, but no recording is in two of them.
    Verification pairs test recordings by the cosine of their pooled features. PLDA and AS-norm, by
    `--probe`, are fitted on the very speakers that they are tested on; task `verification` tests
    speakers whom training has not heard.

Metrics:
    `accuracy` of the clip's speaker, `eer` of verification trials (lower is better).
"""

from probe_bench.task import Measure, Task

__all__ = ["TASK"]

TASK = Task(
    name="speaker",
    summary="who is talking (closed set), and verification of pairs",
    label="speaker",
    unit="clip",
    disjoint=("recording",),
    cluster="speaker",
    measures=(
        Measure(probe="logistic", metrics=("accuracy",)),
        Measure(probe="ridge", metrics=("accuracy",)),
        Measure(probe="cosine", metrics=("eer",)),
    ),
    corpus="speech",
)
