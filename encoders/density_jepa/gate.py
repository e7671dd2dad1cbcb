"""Density-adaptive attention (DAAM): frames are weighted by how likely their level is in the clip."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["DensityGate", "mixture_density"]

_MIN_VARIANCE = 1e-6  # of a clip's scores: a constant clip divides by 0.001, not by 0
_MIN_WIDTH = 1e-3  # of a component, which bounds the density by 1 / (0.001 sqrt(2 pi)) = 399
_EPS = 1e-8


def mixture_density(
    scores: Float[Tensor, "batch frames"],
    offsets: Float[Tensor, " components"],
    raw_widths: Float[Tensor, " components"],
) -> Float[Tensor, "batch frames"]:
    """Density of every frame's score under a mixture of Gaussians around its clip's mean.

    Density-adaptive JEPA (arXiv 2512.07168), as its published code computes it. Component k has
    mean mu + delta_k and width sigma * w_k, with mu and sigma of the clip and w_k =
    softplus(raw_k) + 0.001; the density is taken in units of sigma and averaged over components:

        z_k = (a - mu - delta_k) / (sigma w_k)
        G = 1/K sum_k exp(-z_k^2 / 2) / (w_k sqrt(2 pi))

    Args:
        scores: One number a frame; computed on in float32 whatever its type.
        offsets: delta, in the units of the scores.
        raw_widths: Widths before the softplus.

    Returns:
        float32 in (0, 399]; for a constant clip with offsets of 0 the mean of 1/(w_k sqrt(2 pi)).
    """
    scores = scores.float()
    mean = scores.mean(-1, keepdim=True)
    spread = scores.var(-1, correction=0, keepdim=True).clamp_min(_MIN_VARIANCE).sqrt()
    widths = F.softplus(raw_widths.float()) + _MIN_WIDTH
    centred = (scores - mean)[..., None] - offsets.float()
    z = centred / (spread[..., None] * widths + _EPS)
    # exp(-z^2/2) underflows for an outlier in every component; the log of the sum does not.
    log_density = -0.5 * z.square() - widths.log() - 0.5 * math.log(2 * math.pi)
    return (log_density.logsumexp(-1) - math.log(len(offsets))).exp()


class DensityGate(nn.Module):
    """Scale every frame by 1 + alpha * density of its score (`y = x (1 + alpha G)`)."""

    def __init__(self, channels: int, components: int = 4, offset_spread: float = 0.0) -> None:
        """Start with widths of 0.405 (softplus(log 0.5)) and alpha of 0.05.

        Args:
            channels: Of the input.
            components: Gaussians.
            offset_spread: Offsets start evenly in [-offset_spread, offset_spread]. At 0, as
                published, all components start equal, get equal gradients and stay one Gaussian.
        """
        super().__init__()
        self.score = nn.Conv1d(channels, 1, 1)
        self.offsets = nn.Parameter(torch.linspace(-1, 1, components) * offset_spread)
        self.raw_widths = nn.Parameter(torch.full((components,), math.log(0.5)))
        self.alpha = nn.Parameter(torch.tensor(0.05))

    def forward(
        self, x: Float[Tensor, "batch channels frames"]
    ) -> Float[Tensor, "batch channels frames"]:
        """Gate the frames; the statistics are each clip's own."""
        density = mixture_density(self.score(x).squeeze(1), self.offsets, self.raw_widths)
        return x * (1 + self.alpha * density).to(x.dtype)[:, None]
