"""SIGReg: sketched isotropic Gaussian regularisation (LeJEPA, arXiv 2511.08544).

Along a unit direction a, N embeddings z_n have the empirical characteristic function
phi(t) = mean_n exp(i t a.z_n). Epps and Pulley's statistic compares it with the standard normal's,

    T_a = N * integral |phi(t) - exp(-t^2/2)|^2 exp(-t^2/2) dt,

and SIGReg is its mean over random directions: by Cramer and Wold all one-dimensional projections
are standard normal only if the embeddings are. It matches whole distributions, not covariances, and
its floor is not zero: under the null E[T] = sqrt(2 pi) - sqrt(2 pi / 3) = 1.0594 for every N.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoders.pretraining.gather import all_sum, n_rows, shared_generator
from probe_bench.encoders.pretraining.ranges import Count, NotNegative, Positive, Range, Ranged

__all__ = ["SigReg", "epps_pulley", "epps_pulley_exact", "sigreg", "unit_directions"]


@dataclass(frozen=True, kw_only=True)
class SigReg(Ranged):
    """Settings of SIGReg.

    Attributes:
        weight: Of the term in the loss.
        directions: Random directions, drawn anew at every step.
        knots: Points of the quadrature.
        limit: The quadrature runs over [0, limit] and is doubled.
    """

    weight: NotNegative
    directions: Count = 1024
    knots: Annotated[int, Range(2)] = 17
    limit: Positive = 3.0

    def penalty(self, embeddings: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
        """Compute the unweighted term; directions are seeded from torch's global generator."""
        generator = shared_generator(embeddings.device)
        directions = unit_directions(embeddings.shape[1], self.directions, generator)
        return sigreg(embeddings, directions, knots=self.knots, limit=self.limit)


def unit_directions(dim: int, count: int, generator: torch.Generator) -> Float[Tensor, "dim count"]:
    """Draw directions uniformly on the sphere where the generator is, in float32 whatever autocast says."""
    drawn = torch.randn(
        dim, count, dtype=torch.float32, device=generator.device, generator=generator
    )
    return F.normalize(drawn, dim=0)


def sigreg(
    embeddings: Float[Tensor, "rows dim"],
    directions: Float[Tensor, "dim directions"],
    *,
    knots: int = 17,
    limit: float = 3.0,
) -> Float[Tensor, ""]:
    """Mean Epps-Pulley statistic over unit directions, over the rows of all processes.

    Args:
        embeddings: One a row; float32, padding left out.
        directions: Unit columns, the same on every process.
        knots: Points of the quadrature.
        limit: Upper end of the quadrature.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        return epps_pulley(embeddings.float() @ directions, knots=knots, limit=limit).mean()


def epps_pulley(
    projected: Float[Tensor, "rows directions"], *, knots: int = 17, limit: float = 3.0
) -> Float[Tensor, " directions"]:
    """Epps and Pulley's statistic of every column against N(0, 1), by the trapezoid rule."""
    rows = n_rows(projected)
    t = torch.linspace(0, limit, knots, device=projected.device, dtype=projected.dtype)
    # |phi - phi_0|^2 is even in t: the half line, doubled. The trapezoid rule halves its ends.
    weight = torch.full_like(t, 2 * limit / (knots - 1))
    weight[[0, -1]] /= 2
    normal = torch.exp(-t.square() / 2)
    cosine, sine = _Characteristic.apply(projected, t)  # type: ignore[no-untyped-call]
    real, imaginary = all_sum(cosine) / rows, all_sum(sine) / rows
    error = (real - normal[:, None]).square() + imaginary.square()
    return rows * ((weight * normal)[:, None] * error).sum(0)


class _Characteristic(torch.autograd.Function):
    """Sums of cos(t x) and sin(t x) over rows, with memory for one knot at a time.

    d/dx sum cos(t x) = -t sin(t x) and d/dx sum sin(t x) = t cos(t x) are computed again in the
    backward pass: keeping them would take `knots` times the memory of the projections.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, t)
        angles = (x * knot for knot in t)
        sums = [(angle.cos().sum(0), angle.sin().sum(0)) for angle in angles]
        return torch.stack([c for c, _ in sums]), torch.stack([s for _, s in sums])

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor
    ) -> tuple[Tensor, None]:
        x, t = ctx.saved_tensors  # type: ignore[attr-defined]
        of_cosine, of_sine = gradients
        total = torch.zeros_like(x)
        for number, knot in enumerate(t):
            angle = x * knot
            total += knot * (angle.cos() * of_sine[number] - angle.sin() * of_cosine[number])
        return total, None


def epps_pulley_exact(values: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    """Epps and Pulley's statistic in closed form, the integral running over the whole line.

    With g(t) = exp(-t^2/2) the three terms of |phi - g|^2 g are Gaussian integrals:
    of |phi|^2 g = mean_jk cos(t (x_j - x_k)) g: sqrt(2 pi) exp(-(x_j - x_k)^2 / 2);
    of phi g^2: sqrt(pi) exp(-x_j^2 / 4); of g^3: sqrt(2 pi / 3).
    """
    gaps = (values[:, None] - values[None]).square()
    pairs = math.sqrt(2 * math.pi) * (-gaps / 2).exp().mean()
    singles = 2 * math.sqrt(math.pi) * (-values.square() / 4).exp().mean()
    return len(values) * (pairs - singles + math.sqrt(2 * math.pi / 3))
