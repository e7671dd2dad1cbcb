"""Encoders made of functions of 100 Hz log-mel: what calibrates estimators that have to hear."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from probe_bench.encoder import Encoder, Layer
from probe_bench.logmel import log_mel

__all__ = ["FRAME_RATE_HZ", "MadeEncoder", "Part", "hear"]

FRAME_RATE_HZ = 100
_RATE_HZ, _HOP, _WINDOW = 16_000, 160, 400

Frames = Callable[[Tensor], Tensor]  # batch frames 64 -> batch tokens dim


@dataclass(frozen=True)
class Part:
    """One layer of a made encoder.

    Attributes:
        make: From log-mel frames (batch frames 64) to tokens (batch tokens dim).
        per_token: Frames of 10 ms a token.
        first: Frame at which the first token is centred.
    """

    make: Frames
    per_token: int = 2
    first: Fraction = Fraction(0)

    def layer(self, name: str) -> Layer:
        """Describe the layer."""
        return Layer(
            name=name,
            dim=self.make(torch.zeros(1, 200, 64)).shape[2],
            depth=1.0,
            frame_rate_hz=Fraction(FRAME_RATE_HZ, self.per_token),
            first_frame_s=Fraction(_WINDOW, 2 * _RATE_HZ) + self.first / FRAME_RATE_HZ,
        )


def hear(waveform: Tensor) -> Tensor:
    """Return the log-mel frames that every part starts from."""
    return log_mel(waveform, _RATE_HZ, hop_samples=_HOP, window_samples=_WINDOW)


class MadeEncoder:
    """An encoder of made layers, all of the same log-mel.

    Args:
        parts: Layers by name.
        window_samples: Most samples heard at once; no limit if not given.
    """

    def __init__(self, parts: Mapping[str, Part], window_samples: int | None = None) -> None:
        self.name, self.fingerprint = "made", ""
        self.sample_rate_hz, self.n_parameters, self.min_samples = _RATE_HZ, 0, _WINDOW
        self.window_samples = window_samples
        self.n_encoded = 0
        self._parts = parts
        self.layers = tuple(part.layer(name) for name, part in parts.items())

    def to(self, device: str) -> Encoder:  # noqa: ARG002
        """Stay where it is: there are no weights."""
        return self

    def encode(self, waveform: Tensor) -> list[Tensor]:
        """Return the tokens of every layer."""
        self.n_encoded += waveform.numel()
        frames = hear(waveform)
        return [part.make(frames) for part in self._parts.values()]
