"""What every front end is: waveform in, tokens out, with an exact place in time."""

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.masking.masks import Grid

__all__ = ["Frontend", "FrontendShape", "first_frame_s", "frame_rate_hz", "grid", "standardise"]


@runtime_checkable
class FrontendShape(Protocol):
    """Configuration of a front end.

    Attributes:
        stride_samples: Samples between time steps.
        min_samples: Shortest waveform that gives a time step.
        first_frame_samples: Centre of the first time step, in samples from the start.
        token_bands: Tokens in one time step.
        feature_dim: Width of the layer reported as `cnn`, or None if there is none to report.
    """

    @property
    def stride_samples(self) -> int: ...  # noqa: D102
    @property
    def min_samples(self) -> int: ...  # noqa: D102
    @property
    def first_frame_samples(self) -> Fraction: ...  # noqa: D102
    @property
    def token_bands(self) -> int: ...  # noqa: D102
    @property
    def feature_dim(self) -> int | None: ...  # noqa: D102

    def frames(self, samples: int) -> int:
        """Time steps of a waveform."""
        ...

    def build(self, sample_rate_hz: int, dim: int) -> "Frontend":
        """Make the module that gives tokens of width `dim`."""
        ...


class Frontend(nn.Module, ABC):
    """Two stages, so that the first can be probed as a layer of its own.

    Attributes:
        learns_features: Whether `features` has weights; else teacher and student share its result.
    """

    learns_features = True

    @abstractmethod
    def features(
        self, waveform: Float[Tensor, "batch *microphones samples"]
    ) -> Float[Tensor, "batch steps channels"]:
        """Turn waveforms into local features."""

    @abstractmethod
    def project(
        self, features: Float[Tensor, "batch steps channels"]
    ) -> Float[Tensor, "batch steps dim"]:
        """Turn local features into tokens, time-major."""


def grid(shape: FrontendShape, samples: int) -> Grid:
    """Token grid of a waveform."""
    return Grid(frames=shape.frames(samples), bands=shape.token_bands)


def frame_rate_hz(shape: FrontendShape, sample_rate_hz: int) -> Fraction:
    """Time steps per second."""
    return Fraction(sample_rate_hz, shape.stride_samples)


def first_frame_s(shape: FrontendShape, sample_rate_hz: int) -> Fraction:
    """Centre of the first time step."""
    return shape.first_frame_samples / sample_rate_hz


def standardise(
    waveform: Float[Tensor, "batch samples"], eps: float
) -> Float[Tensor, "batch samples"]:
    """Bring each waveform to zero mean and unit standard deviation."""
    centred = waveform - waveform.mean(-1, keepdim=True)
    return centred / (centred.std(-1, keepdim=True) + eps)
