"""X-ARES: a module that gives one sequence of frames."""

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoders.export.shipped.interface import Interface
from probe_bench.encoders.export.shipped.windowed import Piece, Windowed

__all__ = ["XaresModel"]


class XaresModel(Windowed):
    """An encoder with the attributes that X-ARES asks for; its class is named in each export."""

    def __init__(self, interface: Interface, piece: Piece) -> None:
        super().__init__(interface, piece)
        self.sampling_rate, self.output_dim = interface.sample_rate_hz, interface.dim
        self.hop_size_in_ms = interface.hop_ms

    def forward(  # type: ignore[override]
        self, audio: Float[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch frames dim"]:
        """Encode mono audio in [-1, 1]."""
        return torch.cat(super().forward(audio), dim=2)
