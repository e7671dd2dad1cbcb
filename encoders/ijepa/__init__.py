"""I-JEPA and V-JEPA masks on the time-frequency grid: predict rectangles from what surrounds them."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "ijepa",
    summary="log-mel patches, rectangles predicted from their surroundings, layer-normed targets",
    source="I-JEPA, arXiv 2301.08243; V-JEPA, arXiv 2404.08471",
)
