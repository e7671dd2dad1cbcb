"""WavJEPA: latent prediction from the raw waveform."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "wavjepa",
    summary="conv stem on the waveform, span masks at 100 Hz, top-layer targets, EMA teacher",
    source="WavJEPA, arXiv 2509.23238",
)
