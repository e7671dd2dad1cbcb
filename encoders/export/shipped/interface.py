"""What an exported encoder is from outside: its rate, its layers and their place in time."""

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Interface", "OutLayer"]


@dataclass(frozen=True, kw_only=True)
class OutLayer:
    """A layer that is given out.

    Attributes:
        name: `cnn` (front end), `in` (input of the first block), `L1` ... `LN`, `out_norm`.
        dim: Feature dimensions.
        index: Its place among all layers of the encoder.
    """

    name: str
    dim: int
    index: int


@dataclass(frozen=True, kw_only=True)
class Interface:
    """Rates, lengths and layers; frame k is centred at `first_frame_samples + k * hop_samples`.

    Attributes:
        name: The encoder.
        sample_rate_hz: Of the audio it takes, mono in [-1, 1].
        min_samples: Shortest clip that gives a frame; shorter ones are padded with zeros.
        window_samples: Longest clip that is encoded in one piece; longer ones are cut.
        hop_samples: Samples between frames.
        first_frame_samples: Centre of frame 0, in samples from the start.
        layers: What is given out, in this order.
    """

    name: str
    sample_rate_hz: int
    min_samples: int
    window_samples: int
    hop_samples: int
    first_frame_samples: Fraction
    layers: tuple[OutLayer, ...]

    @property
    def dim(self) -> int:
        """Width of all layers side by side."""
        return sum(layer.dim for layer in self.layers)

    @property
    def hop_ms(self) -> float:
        """Milliseconds between frames."""
        return 1000 * self.hop_samples / self.sample_rate_hz
