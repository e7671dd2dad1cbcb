"""Audio-JEPA: latent prediction on log-mel patches."""

from probe_bench.encoder import Encoder, EncoderSpec

__all__ = ["ENCODER"]


def _load(argument: str, random_seed: int | None) -> Encoder:
    from probe_bench.encoders.pretraining.inference import load_encoder  # noqa: PLC0415 - light list

    return load_encoder("audio-jepa", argument, random_seed)


ENCODER = EncoderSpec(
    name="audio-jepa",
    summary="log-mel patches, unstructured random masks, EMA teacher on the full input",
    source="Audio-JEPA, arXiv 2507.02915",
    argument="CHECKPOINT",
    load=_load,
)
