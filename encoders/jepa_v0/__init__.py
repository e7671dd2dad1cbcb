"""JEPA-v0: a low frame rate with frequency pooled."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "jepa-v0",
    summary="log-mel patches at 12.5 Hz or 3.2 Hz, frequency averaged at the output",
    source="JEPA-v0, startpinch.com/research/en/jepa-encoder-translation",
)
