"""What may happen to a recording before an encoder hears it, each with a severity in physical units."""

from probe_bench.degradations.degradation import Degradation
from probe_bench.degradations.kinds import ALL, KINDS, Kind, named_kinds
from probe_bench.degradations.spectrum import LongTermSpectrum, long_term_spectrum

__all__ = [
    "ALL",
    "KINDS",
    "Degradation",
    "Kind",
    "LongTermSpectrum",
    "long_term_spectrum",
    "named_kinds",
]
