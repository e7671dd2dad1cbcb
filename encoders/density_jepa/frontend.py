"""The front end: strided convolutions with density gates, from the waveform to 2.5 frames a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.density_jepa.blocks import ResidualBlock, SnakeBeta, initialise
from probe_bench.encoders.density_jepa.gate import DensityGate
from probe_bench.encoders.pretraining.frontends.frontend import Frontend, standardise
from probe_bench.encoders.pretraining.ranges import Count, Ranged, Whole

__all__ = ["DensityStem", "DensityStemShape"]

_STEM_KERNEL = 7


@dataclass(frozen=True, kw_only=True)
class DensityStemShape(Ranged):
    """Geometry of the front end; the defaults are the published ones (24 kHz, 2.5 Hz).

    A stride s is done by a convolution of kernel 2s with s // 2 zeros on both sides.

    Attributes:
        channels: Of the first convolution, then of every strided one.
        strides: Of the strided convolutions; their product is the hop.
        residual_blocks: In every strided block; the i-th (from 0) has dilations 1, 3^i and 5^i.
        gated: Whether every block ends in a density gate.
        components: Gaussians of a gate.
        offset_spread: Where the Gaussians start, see `DensityGate`.
        initial: Weights start with std 0.02 everywhere, or (`fan_in`) with the inverse root of the
            fan-in outside the residual blocks, so that narrow layers keep the signal's level.
        standardised: Bring every waveform to zero mean and unit standard deviation first.
    """

    channels: Sequence[Count] = (64, 128, 256, 384, 512, 512)
    strides: Sequence[Count] = (8, 8, 5, 5, 6)
    residual_blocks: Whole = 8
    gated: bool = True
    components: Count = 4
    offset_spread: float = 0.0
    initial: Literal["published", "fan_in"] = "published"
    standardised: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.channels) != len(self.strides) + 1:
            raise ValueError(
                f"{len(self.channels)} channels for {len(self.strides)} strides; expected one more "
                "channel count than strides"
            )

    @property
    def stride_samples(self) -> int:
        """Samples between frames."""
        return prod(self.strides)

    @property
    def token_bands(self) -> int:
        """One token a frame."""
        return 1

    @property
    def feature_dim(self) -> int | None:
        """Channels of the last block."""
        return self.channels[-1]

    def frames(self, samples: int) -> int:
        """Frames of a waveform: floor((n + 2 (s // 2) - 2s) / s) + 1 at every stride, in turn."""
        for stride in self.strides:
            samples = max((samples + 2 * (stride // 2)) // stride - 1, 0)
        return samples

    @property
    def min_samples(self) -> int:
        """Shortest waveform that gives a frame: the same formula solved for n, last stride first."""
        samples = 1
        for stride in reversed(self.strides):
            samples = (samples + 1) * stride - 2 * (stride // 2)
        return samples

    @property
    def first_frame_samples(self) -> Fraction:
        """Centre of frame 0 in samples.

        Output 0 of a convolution is centred at input index (k - 1)/2 - p, in units of its input's
        hop; sample i covers [i, i + 1), so its own centre is i + 1/2. The residual convolutions are
        symmetric and move nothing.
        """
        centre, hop = Fraction(1, 2), 1
        for stride in self.strides:
            centre += hop * (Fraction(2 * stride - 1, 2) - stride // 2)
            hop *= stride
        return centre

    def build(self, sample_rate_hz: int, dim: int) -> "DensityStem":  # noqa: ARG002
        """Make the front end; it is the same at every sample rate."""
        return DensityStem(self, dim)


class StridedBlock(nn.Module):
    """Strided convolution, SnakeBeta, residual blocks, density gate."""

    def __init__(self, shape: DensityStemShape, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 2 * stride, stride, padding=stride // 2)
        self.snake = SnakeBeta(outputs)
        self.residual = nn.Sequential(
            *(ResidualBlock(outputs, 3, (1, 3**i, 5**i)) for i in range(shape.residual_blocks))
        )
        gate = DensityGate(outputs, shape.components, shape.offset_spread)
        self.gate = gate if shape.gated else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to `batch channels frames`."""
        return self.gate(self.residual(self.snake(self.conv(x))))  # type: ignore[no-any-return]


class DensityStem(Frontend):
    """Convolution of 7 samples, strided blocks, 1x1 to the encoder's width."""

    def __init__(self, shape: DensityStemShape, dim: int) -> None:
        super().__init__()
        self.standardised = shape.standardised
        self.stem = nn.Conv1d(1, shape.channels[0], _STEM_KERNEL, padding=_STEM_KERNEL // 2)
        pairs = zip(shape.channels, shape.channels[1:], shape.strides, strict=False)
        self.blocks = nn.Sequential(*(StridedBlock(shape, i, o, s) for i, o, s in pairs))
        self.projection = nn.Linear(shape.channels[-1], dim)
        initialise(self)
        if shape.initial == "fan_in":
            self._keep_level()

    def _keep_level(self) -> None:
        weights = [block.conv.weight for block in self.blocks if isinstance(block, StridedBlock)]
        for weight in (self.stem.weight, *weights, self.projection.weight):
            nn.init.trunc_normal_(weight, std=weight[0].numel() ** -0.5)

    def features(
        self, waveform: Float[Tensor, "batch samples"]
    ) -> Float[Tensor, "batch frames channels"]:
        """Convolve; output of the last block."""
        x = standardise(waveform, eps=1e-5) if self.standardised else waveform
        return self.blocks(self.stem(x[:, None])).transpose(1, 2)  # type: ignore[no-any-return]

    def project(
        self, features: Float[Tensor, "batch frames channels"]
    ) -> Float[Tensor, "batch frames dim"]:
        """Map to the encoder's width."""
        return self.projection(features)  # type: ignore[no-any-return]
