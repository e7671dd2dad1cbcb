"""Published WavJEPA-Nat checkpoints: the file layout is WavJEPA's."""

from probe_bench.encoders.wavjepa.published import PREFIXES, read

__all__ = ["PREFIXES", "read"]
