"""The shape of representations: ranks, isotropy, likeness of layers, information about labels."""

from probe_bench.geometry.analysis import compare, measure
from probe_bench.geometry.results import Finding
from probe_bench.geometry.sample import Sample, draw

__all__ = ["Finding", "Sample", "compare", "draw", "measure"]
