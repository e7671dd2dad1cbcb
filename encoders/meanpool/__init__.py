"""Log-mel averaged over tokens of a known length: calibrates the modulation analysis."""

from probe_bench.encoder import Encoder, EncoderSpec

__all__ = ["ENCODER"]


def _load(argument: str, random_seed: int | None) -> Encoder:
    from probe_bench.encoders.meanpool.model import build  # noqa: PLC0415 (torch only when used)

    return build(argument, random_seed)


ENCODER = EncoderSpec(
    name="meanpool",
    summary="64 log-mel bands averaged over tokens of T ms: cutoff 443 / T Hz; for calibration",
    source="half power of sinc^2(f T)",
    argument="length of a token in ms, a multiple of 10, e.g. 80",
    load=_load,
)
