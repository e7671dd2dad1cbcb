"""S3PRL: an upstream that gives all its layers for a list of waveforms."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.export.shipped.interface import Interface
from probe_bench.encoders.export.shipped.windowed import Piece, Windowed, encode_clips

__all__ = ["S3prlModel"]


class S3prlModel(nn.Module):
    """An encoder as S3PRL calls it."""

    def __init__(self, interface: Interface, piece: Piece) -> None:
        super().__init__()
        self.model = Windowed(interface, piece)

    def get_downsample_rates(self, key: str) -> int:  # noqa: ARG002 - S3PRL asks for each output
        """Samples between frames."""
        return self.model.hop_samples

    def forward(
        self, wavs: Sequence[Float[Tensor, " _"]]
    ) -> dict[str, list[Float[Tensor, "clips frames dim"]]]:
        """Encode mono waveforms at 16 kHz; frames beyond a clip's end are zero."""
        return {"hidden_states": encode_clips(self.model, wavs)}
