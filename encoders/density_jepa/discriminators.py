"""Discriminators of HiFi-GAN: several periods and several time scales (arXiv 2010.05646)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["DiscriminatorShape", "Discriminators"]

_SLOPE = 0.1
_SCALE_KERNELS = (15, 41, 41, 41, 41, 5)
_SCALE_STRIDES = (1, 4, 4, 4, 4, 1)
_SCALE_GROUPS = (1, 4, 16, 64, 256, 1)


@dataclass(frozen=True, kw_only=True)
class DiscriminatorShape:
    """Geometry of the discriminators; the defaults are the published code's.

    Attributes:
        periods: One discriminator each: it sees the waveform folded into rows of that many samples.
        period_channels: Of their five convolutions.
        scales: Discriminators of the waveform averaged down 1, 2, 4 ... times.
        scale_channels: Of their six convolutions.
    """

    periods: Sequence[int] = (2, 3, 5, 7, 11)
    period_channels: Sequence[int] = (32, 128, 512, 1024, 1024)
    scales: int = 3
    scale_channels: Sequence[int] = (16, 64, 256, 1024, 1024, 1024)

    def build(self) -> "Discriminators":
        """Make the modules."""
        return Discriminators(self)


class PeriodDiscriminator(nn.Module):
    """Convolutions along time over samples that lie one period apart."""

    def __init__(self, period: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.period = period
        strides = [3] * (len(channels) - 1) + [1]
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, (5, 1), (s, 1), padding=(2, 0))
            for (i, o), s in zip(pairwise([1, *channels]), strides, strict=True)
        )
        self.score = nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Return every layer's output, the score map last."""
        missing = -waveform.shape[-1] % self.period
        x = F.pad(waveform[:, None], (0, missing), "reflect")
        return _layers(self.convs, self.score, x.view(len(x), 1, -1, self.period))


class ScaleDiscriminator(nn.Module):
    """Grouped, strided convolutions along time."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        rows = zip(
            pairwise([1, *channels]), _SCALE_KERNELS, _SCALE_STRIDES, _SCALE_GROUPS, strict=True
        )
        # Fewer channels than published cannot be split into as many groups.
        self.convs = nn.ModuleList(
            nn.Conv1d(i, o, k, s, padding=k // 2, groups=math.gcd(i, o, groups))
            for (i, o), k, s, groups in rows
        )
        self.score = nn.Conv1d(channels[-1], 1, 3, padding=1)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Return every layer's output, the score map last."""
        return _layers(self.convs, self.score, waveform[:, None])


def _layers(convs: nn.ModuleList, score: nn.Module, x: Tensor) -> list[Tensor]:
    outputs = []
    for conv in convs:
        x = F.leaky_relu(conv(x), _SLOPE)
        outputs.append(x)
    return [*outputs, score(x)]


class Discriminators(nn.Module):
    """All periods, then all scales."""

    def __init__(self, shape: DiscriminatorShape) -> None:
        super().__init__()
        self.periods = nn.ModuleList(
            PeriodDiscriminator(period, shape.period_channels) for period in shape.periods
        )
        self.scales = nn.ModuleList(
            ScaleDiscriminator(shape.scale_channels) for _ in range(shape.scales)
        )

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> list[list[Tensor]]:
        """Return the layers' outputs of every discriminator, each one's score map last."""
        outputs = [discriminator(waveform) for discriminator in self.periods]
        for number, discriminator in enumerate(self.scales):
            if number:
                waveform = F.avg_pool1d(waveform[:, None], 4, 2, padding=2).squeeze(1)
            outputs.append(discriminator(waveform))
        return outputs
