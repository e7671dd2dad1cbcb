"""Density-adaptive JEPA: a speech tokenizer of 2.5 frames a second."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "density-jepa",
    summary="gated convolutions and Conformers, masks behind the encoder, FSQ tokens, waveform decoder",
    source="JEPA as a Neural Tokenizer, arXiv 2512.07168",
)
