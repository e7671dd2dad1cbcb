"""Log-mel averaged over tokens: its cutoff follows from the length of a token alone."""

from fractions import Fraction

from probe_bench.encoders.logmel.model import LogMel
from probe_bench.errors import UserError

__all__ = ["build"]

_STEP_MS = 10  # of the spectrogram
_LONGEST_MS = 1000


def build(argument: str, random_seed: int | None) -> LogMel:
    """Build the log-mel whose frames are means over the length after `meanpool:`.

    Raises:
        UserError: If the length is not a multiple of 10 ms up to 1 s, or a random one is asked for.
    """
    if random_seed is not None:
        raise UserError(f"random:meanpool:{argument}: no weights to draw at random; use meanpool")
    if not (argument.isdecimal() and 0 < int(argument) <= _LONGEST_MS) or int(argument) % _STEP_MS:
        raise UserError(
            f"meanpool:{argument}: {argument!r} is no length of a token; expected a multiple of "
            f"{_STEP_MS} ms up to {_LONGEST_MS}, e.g. meanpool:80"
        )
    return LogMel(Fraction(1000, int(argument)))
