"""Models of torchaudio's pipelines: wav2vec 2.0, HuBERT, XLS-R, VoxPopuli, WavLM."""

from probe_bench.encoder import Encoder, EncoderSpec

__all__ = ["ENCODER"]


def _load(argument: str, random_seed: int | None) -> Encoder:
    from probe_bench.encoders.torchaudio_bundles.model import build  # noqa: PLC0415 (slow to import)

    return build(argument, random_seed)


ENCODER = EncoderSpec(
    name="torchaudio",
    summary="torchaudio's pipelines: wav2vec 2.0, HuBERT, XLS-R, VoxPopuli, WavLM",
    source="https://docs.pytorch.org/audio/stable/pipelines.html",
    argument="BUNDLE, e.g. WAV2VEC2_BASE",
    load=_load,
)
