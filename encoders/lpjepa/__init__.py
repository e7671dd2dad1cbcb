"""Rectified LpJEPA: sparse views that agree under RDMReg."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "lpjepa",
    summary="views of a clip agree behind a ReLU, matched to a rectified generalised Gaussian",
    source="Rectified LpJEPA, arXiv 2602.01456",
)
