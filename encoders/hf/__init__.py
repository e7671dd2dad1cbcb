"""Audio models of the transformers library: wav2vec 2.0 and its family, Whisper's encoder."""

from probe_bench.encoder import Encoder, EncoderSpec

__all__ = ["ENCODER"]


def _load(argument: str, random_seed: int | None) -> Encoder:
    from probe_bench.encoders.hf.load import build  # noqa: PLC0415 (transformers is slow to import)

    return build(argument, random_seed, trust_code=False)


def _load_trusted(argument: str, random_seed: int | None) -> Encoder:
    from probe_bench.encoders.hf.load import build  # noqa: PLC0415

    return build(argument, random_seed, trust_code=True)


ENCODER = EncoderSpec(
    name="hf",
    summary="transformers models: wav2vec 2.0, HuBERT, WavLM, data2vec, UniSpeech, Whisper's encoder",
    source="https://huggingface.co/docs/transformers",
    argument="NAME-or-folder, e.g. facebook/hubert-base-ls960",
    load=_load,
    load_trusted=_load_trusted,
)
