"""WavJEPA-Nat: WavJEPA for two microphones in rooms with noise."""

from probe_bench.encoders.pretraining.spec import jepa_spec

__all__ = ["ENCODER"]

ENCODER = jepa_spec(
    "wavjepa-nat",
    summary="WavJEPA with a stem an ear, trained in noise and reverberation",
    source="WavJEPA-Nat, arXiv 2509.23238",
)
