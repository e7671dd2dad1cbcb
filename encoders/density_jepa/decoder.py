"""Waveform decoder in the manner of HiFi-GAN (arXiv 2010.05646): codes of a frame to its samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.density_jepa.blocks import ResidualBlock, SnakeBeta, initialise
from probe_bench.encoders.density_jepa.gate import DensityGate

__all__ = ["WaveDecoder", "WaveDecoderShape"]


@dataclass(frozen=True, kw_only=True)
class WaveDecoderShape:
    """Geometry of the decoder; the defaults mirror the published front end.

    A stride s is done by a transposed convolution of kernel 2s that drops s // 2 samples on both
    sides, the mirror of the front end's: with its strides in reverse, frames land where they came
    from.

    Attributes:
        channels: After the first 1x1 convolution, then after every upsampling.
        strides: Of the transposed convolutions.
        kernels: Of the residual blocks that run side by side after each.
        dilations: Of every residual block.
        gated: Whether every upsampling ends in a density gate.
    """

    channels: Sequence[int] = (512, 512, 384, 256, 128, 64)
    strides: Sequence[int] = (6, 5, 5, 8, 8)
    kernels: Sequence[int] = (3, 7, 11)
    dilations: Sequence[int] = (1, 3, 5)
    gated: bool = False

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.strides) + 1:
            raise ValueError(
                f"{len(self.channels)} channels for {len(self.strides)} strides; expected one more "
                "channel count than strides"
            )

    def samples(self, frames: int) -> int:
        """Samples that frames become: (n - 1) s - 2 (s // 2) + 2s at every stride, in turn."""
        for stride in self.strides:
            frames = (frames + 1) * stride - 2 * (stride // 2)
        return frames

    def build(self, dims: int) -> "WaveDecoder":
        """Make the decoder of codes with `dims` dimensions."""
        return WaveDecoder(self, dims)


class UpsamplingBlock(nn.Module):
    """SnakeBeta, transposed convolution, mean of residual blocks of several kernels, gate."""

    def __init__(self, shape: WaveDecoderShape, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.snake = SnakeBeta(inputs)
        self.conv = nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride, padding=stride // 2)
        self.residual = nn.ModuleList(
            ResidualBlock(outputs, kernel, shape.dilations) for kernel in shape.kernels
        )
        self.gate = DensityGate(outputs) if shape.gated else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to `batch channels frames`."""
        x = self.conv(self.snake(x))
        mixed = torch.stack([block(x) for block in self.residual]).mean(0)
        return self.gate(mixed)  # type: ignore[no-any-return]


class WaveDecoder(nn.Module):
    """1x1 to the first width, upsampling blocks, convolution of 7 samples, tanh."""

    def __init__(self, shape: WaveDecoderShape, dims: int) -> None:
        super().__init__()
        self.inward = nn.Linear(dims, shape.channels[0])
        pairs = zip(shape.channels, shape.channels[1:], shape.strides, strict=False)
        self.blocks = nn.Sequential(*(UpsamplingBlock(shape, i, o, s) for i, o, s in pairs))
        self.out = nn.Conv1d(shape.channels[-1], 1, 7, padding=3)
        initialise(self)

    def forward(self, codes: Float[Tensor, "batch frames dims"]) -> Float[Tensor, "batch samples"]:
        """Decode; a waveform in (-1, 1) of `WaveDecoderShape.samples(frames)` samples."""
        hidden = self.blocks(self.inward(codes).transpose(1, 2))
        return torch.tanh(self.out(hidden)).squeeze(1)
