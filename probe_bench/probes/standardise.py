"""Standardise features on training statistics."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Standardiser", "fit_standardiser", "standardiser_of"]

_DEAD = 1e-6  # std below this share of the largest |value| is rounding, not signal


@dataclass(frozen=True, kw_only=True)
class Standardiser:
    """Affine map to zero mean and unit standard deviation on the training data.

    Attributes:
        mean: Training mean.
        scale: One over the training standard deviation; 0 for dead dimensions, which carry
            nothing and would otherwise turn rounding errors into features.
    """

    mean: Float[Tensor, " dim"]
    scale: Float[Tensor, " dim"]

    def __call__(self, x: Float[Tensor, "samples dim"]) -> Float[Tensor, "samples dim"]:
        """Return standardised float32 features."""
        return (x.float() - self.mean) * self.scale


def fit_standardiser(x: Float[Tensor, "samples dim"]) -> Standardiser:
    """Measure mean and (population) standard deviation in float64."""
    wide = x.double()
    return standardiser_of(wide.mean(0), wide.std(0, correction=0), wide.abs().amax(0))


def standardiser_of(
    mean: Float[Tensor, " dim"], std: Float[Tensor, " dim"], largest: Float[Tensor, " dim"]
) -> Standardiser:
    """Return the standardiser of features with known statistics.

    Args:
        mean: Training mean.
        std: Population standard deviation.
        largest: Largest absolute value, by which dead dimensions are told.
    """
    dead = std <= _DEAD * largest
    scale = torch.where(dead, 0.0, 1 / std.clamp(min=torch.finfo(torch.float32).tiny))
    return Standardiser(mean=mean.float(), scale=scale.float())
