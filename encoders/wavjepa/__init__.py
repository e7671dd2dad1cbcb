"""WavJEPA: latent prediction from the raw waveform."""

from probe_bench.encoder import Encoder, EncoderSpec

__all__ = ["ENCODER"]


def _load(argument: str, random_seed: int | None) -> Encoder:
    from probe_bench.encoders.pretraining.inference import load_encoder  # noqa: PLC0415 - light list

    return load_encoder("wavjepa", argument, random_seed)


ENCODER = EncoderSpec(
    name="wavjepa",
    summary="conv stem on the waveform, span masks at 100 Hz, top-layer targets, EMA teacher",
    source="WavJEPA, arXiv 2509.23238",
    argument="CHECKPOINT",
    load=_load,
)
