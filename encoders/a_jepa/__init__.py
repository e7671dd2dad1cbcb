"""A-JEPA: a curriculum from rectangles to time-frequency strips."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "a-jepa",
    summary="log-mel patches, masks that grow from rectangles to strips, regularised masking",
    source="A-JEPA, arXiv 2311.15830",
)
