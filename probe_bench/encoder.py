"""What an encoder is: audio in, frame features of every layer out.

An encoder sees equal-length, unpadded waveforms only. Whoever calls it (see `extract`) groups clips
by length and cuts long ones into windows, so no encoder ever needs to know about padding, and a
clip's features cannot depend on its neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

__all__ = ["Encoder", "EncoderSpec", "Layer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One layer of an encoder and its place in time.

    Frame k is centred at `first_frame_s + k / frame_rate_hz`, exactly.

    Attributes:
        name: Canonical: `cnn` (front end), `in` (input of the first block), `L1` ... `LN` (block
            outputs), `out_norm` (final norm).
        dim: Feature dimensions.
        depth: 0 at the encoder's input, 1 at its last layer.
        frame_rate_hz: Frames per second.
        first_frame_s: Centre of frame 0 in seconds from the first sample.
    """

    name: str
    dim: int
    depth: float
    frame_rate_hz: Fraction
    first_frame_s: Fraction


@runtime_checkable
class Encoder(Protocol):
    """Frozen audio encoder.

    Attributes:
        name: As on the command line, e.g. `wavjepa` or `random:wavjepa`.
        sample_rate_hz: Rate of the audio it takes.
        layers: In the order that `encode` returns them.
        fingerprint: sha256 over weights and preprocessing; equal if and only if features are equal.
        n_parameters: Number of weights.
        min_samples: Shortest waveform that gives one frame.
        window_samples: Longest waveform encoded in one piece (the training crop, or None for no
            limit); longer clips are encoded in windows of exactly this length.
    """

    name: str
    sample_rate_hz: int
    layers: tuple[Layer, ...]
    fingerprint: str
    n_parameters: int
    min_samples: int
    window_samples: int | None

    def to(self, device: str) -> "Encoder":
        """Move the weights to `device` and return self."""
        ...

    def encode(self, waveform: Float[Tensor, "batch samples"]) -> list[Float[Tensor, "batch _ _"]]:
        """Encode equal-length waveforms in [-1, 1]; one `batch frames dim` tensor a layer.

        Frame counts may differ between layers; each row depends on its own waveform alone.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """What a module under `encoders/` exposes as `ENCODER`; must be importable without torch.

    Attributes:
        name: Name on the command line, alone (`logmel`) or as a scheme (`hf` in `hf:NAME`).
        summary: One line for `probe-bench list encoders`.
        source: Paper or library it follows.
        argument: What may stand after the colon, e.g. `NAME-or-folder`; empty if nothing.
        load: `load(argument, random_seed)` builds the encoder. `argument` is the text after the
            colon, or for a bundled system a checkpoint file, or empty for the default;
            `random_seed` is None for trained weights, else the seed of a fresh initialisation.
        load_trusted: Like `load`, but may run code that comes with the checkpoint (`--trust-code`);
            None where no checkpoint holds code.
    """

    name: str
    summary: str
    source: str
    argument: str = ""
    load: Callable[[str, int | None], Encoder]
    load_trusted: Callable[[str, int | None], Encoder] | None = None
