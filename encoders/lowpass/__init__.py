"""Log-mel low-passed at a known modulation frequency: calibrates the modulation analysis."""

from probe_bench.encoder import Encoder, EncoderSpec

__all__ = ["ENCODER"]


def _load(argument: str, random_seed: int | None) -> Encoder:
    from probe_bench.encoders.lowpass.model import build  # noqa: PLC0415 (torch only when used)

    return build(argument, random_seed)


ENCODER = EncoderSpec(
    name="lowpass",
    summary="64 log-mel bands low-passed over time at a known cutoff, 50 frames/s; for calibration",
    source="Butterworth 1930, On the theory of filter amplifiers (magnitude; the phase is zero)",
    argument="cutoff in Hz (power gain one half), e.g. 8",
    load=_load,
)
