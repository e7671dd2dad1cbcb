"""What a probe's score means: statistics beside the score, all from cached features.

`selectivity` (a control task with random labels), `code-length` (the online code of the labels),
`v-information` (bits about the label on test), `sample-size` (learning curves), `dimension` (scores at
equal dimension) and `localisation` (where in depth a task's score is gained). `plan` holds what all
encoders share, `fits` the solves, `diagnose` puts one encoder's rows together. For the logistic
headline probe of a task, on every layer.
"""

__all__ = ["CHEAP", "DIAGNOSTICS"]

DIAGNOSTICS = (
    "selectivity",
    "code-length",
    "v-information",
    "sample-size",
    "dimension",
    "localisation",
)
"""Names as on the command line; importable without torch."""

CHEAP = ("v-information", "localisation")
"""On by default: one fit more a layer, rough; the others take about as long as the probes again."""
