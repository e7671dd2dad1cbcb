"""What every bundled system's folder exposes; importable without torch."""

from probe_bench.encoder import Encoder, EncoderSpec

__all__ = ["jepa_spec"]


def jepa_spec(name: str, *, summary: str, source: str) -> EncoderSpec:
    """Describe a bundled system, whose weights load when they are asked for.

    Args:
        name: On the command line.
        summary: One line for `probe-bench list encoders`.
        source: Paper.
    """

    def load(argument: str, random_seed: int | None) -> Encoder:
        from probe_bench.encoders.pretraining.inference import load_encoder  # noqa: PLC0415 - light list

        return load_encoder(name, argument, random_seed)

    return EncoderSpec(
        name=name,
        summary=summary,
        source=source,
        argument="CHECKPOINT[#student|#teacher]",
        load=load,
    )
