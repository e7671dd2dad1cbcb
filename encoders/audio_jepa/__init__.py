"""Audio-JEPA: latent prediction on log-mel patches."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "audio-jepa",
    summary="log-mel patches, unstructured random masks, EMA teacher on the full input",
    source="Audio-JEPA, arXiv 2507.02915",
)
