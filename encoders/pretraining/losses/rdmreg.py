"""RDMReg: rectified distribution matching (Rectified LpJEPA, arXiv 2602.01456).

Embeddings behind a ReLU are pushed towards ReLU(mu + sigma g) with g from the generalised Gaussian
GN_p, whose density is proportional to exp(-|x|^p / p). Rectified laws are not closed under
projection, so there is no characteristic function to compare with: a fresh sample of the target
stands in, and the distance is the sliced Wasserstein distance of two samples of one size.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoders.pretraining.gather import all_rows, n_rows, shared_generator
from probe_bench.encoders.pretraining.losses.sigreg import unit_directions
from probe_bench.encoders.pretraining.ranges import Count, NotNegative, Positive, Ranged

__all__ = ["RdmReg", "nonzero_fraction", "rectified_sample", "sliced_wasserstein", "unit_scale"]


@dataclass(frozen=True, kw_only=True)
class RdmReg(Ranged):
    """Settings of RDMReg.

    Attributes:
        weight: Of the term in the loss.
        projections: Random directions, drawn anew at every step.
        shape: p of GN_p: 1 is Laplace, 2 is Gaussian.
        mean: mu, in units of the target before rectification.
    """

    weight: NotNegative
    projections: Count = 8192
    shape: Positive = 1.0
    mean: float = 0.0

    def penalty(self, embeddings: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
        """Compute the unweighted term; what is drawn is seeded from torch's global generator."""
        dim = embeddings.shape[1]
        generator = shared_generator(embeddings.device)
        directions = unit_directions(dim, self.projections, generator)
        target = rectified_sample(
            n_rows(embeddings), dim, shape=self.shape, mean=self.mean, generator=generator
        )
        return sliced_wasserstein(embeddings, target, directions)

    @property
    def nonzero_fraction(self) -> float:
        """Share of non-zero entries that the target has."""
        return nonzero_fraction(self.mean, unit_scale(self.shape), self.shape)


def sliced_wasserstein(
    embeddings: Float[Tensor, "rows dim"],
    target: Float[Tensor, "all_rows dim"],
    directions: Float[Tensor, "dim directions"],
) -> Float[Tensor, ""]:
    """Squared 2-Wasserstein distance of projections, averaged over directions.

    In one dimension the optimal transport between samples of one size pairs them in order, so the
    distance is the mean squared difference of sorted values. Rows of all processes are sorted
    together: a sort on each process alone would match every share of the batch by itself.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        ours = (all_rows(embeddings.float()) @ directions).sort(0).values
        theirs = (target @ directions).sort(0).values
        return (ours - theirs).square().mean()


def unit_scale(shape: float) -> float:
    """Scale that gives GN_p unit variance: its variance is p^(2/p) Gamma(3/p) / Gamma(1/p)."""
    spread: float = shape ** (1 / shape) * math.sqrt(math.gamma(3 / shape) / math.gamma(1 / shape))
    return 1 / spread


def rectified_sample(
    rows: int,
    dim: int,
    *,
    shape: float,
    mean: float,
    scale: float | None = None,
    generator: torch.Generator,
) -> Float[Tensor, "rows dim"]:
    """Draw ReLU(mean + scale * g) with g from GN_p; `scale` gives unit variance if None.

    If g has density ~ exp(-|g|^p / p), then |g|^p / p is Gamma(1/p, 1) distributed.
    """
    place = generator.device
    power = torch.full((rows, dim), 1 / shape, device=place)
    magnitude = (shape * torch._standard_gamma(power, generator)) ** (1 / shape)  # noqa: SLF001
    sign = torch.randint(0, 2, (rows, dim), device=place, generator=generator) * 2 - 1
    sigma = unit_scale(shape) if scale is None else scale
    return (mean + sigma * sign * magnitude).relu()


def nonzero_fraction(mean: float, scale: float, shape: float) -> float:
    """P(mean + scale * g > 0) = (1 + sgn(mean) P(1/p, |mean/scale|^p / p)) / 2.

    P is the regularised lower incomplete gamma function, the distribution of |g|^p / p.
    """
    ratio = abs(mean / scale) ** shape / shape
    inside = torch.special.gammainc(
        torch.tensor(1 / shape, dtype=torch.float64), torch.tensor(ratio, dtype=torch.float64)
    )
    return 0.5 * (1 + math.copysign(inside.item(), mean) * (mean != 0))
