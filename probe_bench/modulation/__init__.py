"""How fast a representation may change: modulation support and output speed, in Hz."""

from probe_bench.modulation.analysis import measure
from probe_bench.modulation.reference import Reference
from probe_bench.modulation.results import CurvePoint, Estimate, LayerModulation, Speed, Support

__all__ = [
    "CurvePoint",
    "Estimate",
    "LayerModulation",
    "Reference",
    "Speed",
    "Support",
    "measure",
]
