"""Log-mel spectrogram as an encoder: the baseline that every table carries."""

from probe_bench.encoder import Encoder, EncoderSpec

__all__ = ["ENCODER"]


def _load(argument: str, random_seed: int | None) -> Encoder:
    from probe_bench.encoders.logmel.model import build  # noqa: PLC0415 (torch only when used)

    return build(argument, random_seed)


ENCODER = EncoderSpec(
    name="logmel",
    summary="64 log-mel bands, mean-pooled to a frame rate (default 100 Hz); no weights",
    source="Davis and Mermelstein 1980, 10.1109/TASSP.1980.1163420",
    argument="frames per second, e.g. 50 or 25/4",
    load=_load,
)
