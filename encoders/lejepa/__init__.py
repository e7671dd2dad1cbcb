"""LeJEPA: views that agree under SIGReg."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "lejepa",
    summary="views of a clip agree, SIGReg keeps them apart: no teacher, stop-gradient or predictor",
    source="LeJEPA, arXiv 2511.08544",
)
