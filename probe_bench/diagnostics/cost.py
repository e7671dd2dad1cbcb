"""What the diagnostics of a run cost, in passes of a linear probe over all training units."""

from collections.abc import Sequence

__all__ = ["passes"]

# Averages of the default run (docs/LOG.md), in the passes of `budget`, of which a logistic probe takes 300.
_WHOLE = 60  # all units, strongest strength to least loss
_NESTED = 2.3  # all fractions together, against all units alone
_CONTROL = 30
_DIMENSIONS = 45  # all of them: narrow, but with as many scores to exponentiate
_READING = 30  # rotation, and the test units


def passes(wanted: Sequence[str]) -> float:
    """Return passes over the training data that the diagnostics of one layer take.

    Args:
        wanted: Names out of `DIAGNOSTICS`.
    """
    names = set(wanted) - {"localisation"}
    if not names:
        return 0.0
    nested = _NESTED if names & {"code-length", "sample-size"} else 1.0
    own = {"selectivity": _CONTROL, "dimension": _DIMENSIONS}
    return _READING + nested * _WHOLE + sum(own.get(name, 0) for name in names)
