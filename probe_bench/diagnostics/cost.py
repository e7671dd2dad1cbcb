"""What the diagnostics of a run cost, in passes of a linear probe over all training units."""

from collections.abc import Sequence

__all__ = ["passes"]

# Averages of the default run: walks from the strongest strength to where the loss is least, roughly solved.
_WALK = 90  # over all training units
_CONTROL = 110  # random labels are harder to fit
_HALVES = 2  # 1/2 + 1/4 + ... of the units are coded as well
_NARROW = 0.4  # all matched dimensions together: small against the layer's own


def passes(wanted: Sequence[str]) -> float:
    """Return passes over the training data that the fits of one layer take.

    Args:
        wanted: Names out of `DIAGNOSTICS`.
    """
    names = set(wanted)
    whole = bool(names & {"selectivity", "v-information"})
    nested = bool(names & {"code-length", "sample-size"})
    walks = _HALVES if nested else float(whole or "dimension" in names)
    walks += _NARROW if "dimension" in names else 0.0
    return _WALK * walks + (_CONTROL if "selectivity" in names else 0)
