"""The encoder itself: one piece of audio to frames, and clips of any length in pieces."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.export.shipped.cutting import first_frames, window_starts
from probe_bench.encoders.export.shipped.interface import Interface
from probe_bench.encoders.pretraining.frontends.frontend import FrontendShape
from probe_bench.encoders.pretraining.recipe import EncoderShape

__all__ = ["Architecture", "Piece", "Windowed", "encode_clips", "load_weights"]

_BATCH_S = 32  # audio encoded at once: bounds memory whatever the clips' lengths


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What the encoder is inside.

    Attributes:
        frontend: Waveform to tokens.
        encoder: Stack of blocks.
        tokens: In the longest piece.
        pool_bands: Average the tokens of a time step; else they stand side by side, low band first.
    """

    frontend: FrontendShape
    encoder: EncoderShape
    tokens: int
    pool_bands: bool


class Piece(nn.Module):
    """Audio no longer than a window to the frames of the layers that are given out."""

    positions: Tensor

    def __init__(self, interface: Interface, architecture: Architecture) -> None:
        super().__init__()
        dim = architecture.encoder.dim
        self.frontend = architecture.frontend.build(interface.sample_rate_hz, dim)
        self.transformer = architecture.encoder.build()
        self.register_buffer("positions", torch.zeros(architecture.tokens, dim))
        self.bands, self.pool_bands = architecture.frontend.token_bands, architecture.pool_bands
        self.has_cnn = architecture.frontend.feature_dim is not None
        self.indices = [layer.index for layer in interface.layers]

    def forward(
        self, waveform: Float[Tensor, "batch samples"]
    ) -> list[Float[Tensor, "batch frames _"]]:
        """Encode waveforms of one length."""
        features = self.frontend.features(waveform)
        tokens = self.frontend.project(features)
        tokens = tokens + self.positions[: tokens.shape[1]]
        outputs = [tokens, *self.transformer(tokens)]
        outputs.append(self.transformer.norm(outputs[-1]))
        steps = [x.unflatten(1, (-1, self.bands)) for x in outputs]
        frames = [x.mean(2) if self.pool_bands else x.flatten(2) for x in steps]
        layers = [features, *frames] if self.has_cnn else frames
        return [layers[index] for index in self.indices]


class Windowed(nn.Module):
    """Clips of any length: short ones padded with zeros, long ones in windows, frames joined."""

    def __init__(self, interface: Interface, piece: nn.Module) -> None:
        super().__init__()
        self.piece = piece
        self.layer_names = [layer.name for layer in interface.layers]
        self.sample_rate_hz = interface.sample_rate_hz
        self.frame_rate_hz = interface.sample_rate_hz / interface.hop_samples
        self.first_frame_s = float(interface.first_frame_samples / interface.sample_rate_hz)
        self.min_samples, self.window_samples = interface.min_samples, interface.window_samples
        self.hop_samples = interface.hop_samples
        self.first_numerator = interface.first_frame_samples.numerator
        self.first_denominator = interface.first_frame_samples.denominator
        self.samples_at_once = _BATCH_S * interface.sample_rate_hz

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Encode `batch samples` in [-1, 1]; one `batch frames dim` tensor a layer."""
        waveform = F.pad(waveform, [0, max(0, self.min_samples - waveform.shape[1])])
        starts = window_starts(waveform.shape[1], self.window_samples, self.hop_samples)
        length = min(waveform.shape[1], self.window_samples)
        windows = torch.cat([waveform[:, start : start + length] for start in starts])
        rows = max(1, self.samples_at_once // length)
        encoded = [self.piece(batch) for batch in torch.split(windows, rows)]
        return [
            self.join(torch.cat([batch[layer] for batch in encoded]), starts)
            for layer in range(len(self.layer_names))
        ]

    def join(self, frames: Tensor, starts: list[int]) -> Tensor:
        """Keep each window's own share of the clip's frames.

        Args:
            frames: Of all windows, the batch of the first one first.
            starts: First sample of every window.
        """
        firsts = first_frames(
            starts,
            self.window_samples,
            self.hop_samples,
            self.first_numerator,
            self.first_denominator,
        )
        kept: list[Tensor] = []
        for index, window in enumerate(frames.chunk(len(starts))):
            offset = starts[index] // self.hop_samples
            is_last = index + 1 == len(starts)
            stop = window.shape[1] if is_last else firsts[index + 1] - offset
            kept.append(window[:, firsts[index] - offset : stop])
        return torch.cat(kept, dim=1)


def encode_clips(
    encoder: nn.Module, clips: Sequence[Float[Tensor, " _"]]
) -> list[Float[Tensor, "clips frames _"]]:
    """Encode clips of several lengths, each as if it were alone; missing frames are zero."""
    encoded: dict[int, list[Tensor]] = {}
    for length in sorted({len(clip) for clip in clips}):
        rows = [row for row, clip in enumerate(clips) if len(clip) == length]
        layers = encoder(torch.stack([clips[row] for row in rows]))
        encoded |= {row: [layer[at] for layer in layers] for at, row in enumerate(rows)}
    by_layer = zip(*(encoded[row] for row in range(len(clips))), strict=True)
    return [nn.utils.rnn.pad_sequence(list(layer), batch_first=True) for layer in by_layer]


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Fill a model from a file of tensors, without running any code in it."""
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model.eval().requires_grad_(requires_grad=False)
