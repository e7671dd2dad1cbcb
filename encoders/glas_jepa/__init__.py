"""GLaS-JEPA: masked speech under SIGReg."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "glas-jepa",
    summary="log-mel frames, Conformers that fill masked spans in towards their own full view, SIGReg",
    source="GLaS-JEPA, arXiv 2609.37798",
)
