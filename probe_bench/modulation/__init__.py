"""How fast a representation may change: modulation support, recovery and output speed, in Hz."""

from probe_bench.modulation.analysis import measure
from probe_bench.modulation.reference import Reference
from probe_bench.modulation.results import (
    CurvePoint,
    Estimate,
    Joint,
    LayerModulation,
    Recovery,
    Speed,
    Support,
)

__all__ = [
    "CurvePoint",
    "Estimate",
    "Joint",
    "LayerModulation",
    "Recovery",
    "Reference",
    "Speed",
    "Support",
    "measure",
]
