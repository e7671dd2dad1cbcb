"""Convolutional building blocks that the front end and the waveform decoder share."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ResidualBlock", "SnakeBeta", "initialise"]

_SLOPE = 0.1  # of the leaky ReLU, HiFi-GAN's
_STD = 0.02


class SnakeBeta(nn.Module):
    """Periodic activation x + sin^2(a x) / a with one a >= 0.01 a channel; 1/a is at most 10."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(channels, 1))

    def forward(
        self, x: Float[Tensor, "batch channels frames"]
    ) -> Float[Tensor, "batch channels frames"]:
        """Activate."""
        rate = F.softplus(self.raw) + 0.01
        return x + (1 / rate).clamp_max(10) * torch.sin(rate * x).square()


class ResidualBlock(nn.Module):
    """HiFi-GAN's: for every dilation a dilated and a plain convolution with a skip around both."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2)
            for d in dilations
        )
        self.plain = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations
        )

    def forward(
        self, x: Float[Tensor, "batch channels frames"]
    ) -> Float[Tensor, "batch channels frames"]:
        """Apply the block; the length stays."""
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            assert isinstance(dilated, nn.Conv1d)
            hidden = _convolve(dilated, F.leaky_relu(x, _SLOPE))
            x = x + plain(F.leaky_relu(hidden, _SLOPE))
        return x


def _convolve(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """Convolve, without the taps that would read nothing but padding.

    The published dilations grow to 5^7 = 78 125 frames, beyond any clip; padding that far costs
    more than the rest of the block and adds exactly zero.
    """
    middle = conv.kernel_size[0] // 2
    if conv.dilation[0] < x.shape[-1] or conv.kernel_size[0] == 1:
        return conv(x)  # type: ignore[no-any-return]
    return F.conv1d(x, conv.weight[..., middle : middle + 1], conv.bias)


def initialise(module: nn.Module) -> None:
    """Start every convolution and linear layer truncated-normal (std 0.02) with zero bias."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.Linear):
            nn.init.trunc_normal_(part.weight, std=_STD)
            assert part.bias is not None
            nn.init.zeros_(part.bias)
