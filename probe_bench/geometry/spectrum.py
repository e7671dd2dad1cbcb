"""How many directions a representation uses: the spectrum of its covariance.

All ranks are centred: the mean of all frames is a direction that no linear probe needs, and a large
one would hide the others. Moments per part of the jackknife add up, so one pass over the frames gives
the spectrum and all its replicates, and `leave_out` costs one eigendecomposition a part.

*Effective rank* (RankMe, Garrido et al. 2023, arXiv 2210.02885, eq. 1): exp of the entropy of the
normalised singular values, as the pretraining monitors have it.
*Participation ratio*: (Σλ)² / Σλ² over eigenvalues of the covariance; k where k directions share all
variance equally. It weighs by variance, so a few strong directions lower it more than the former.
*IsoScore* (Rudman et al. 2022, arXiv 2108.07344, algorithm 1) is 1 where all directions have equal
variance and 0 where one has all. Its seven steps come to a rescaled participation ratio:

    λ̂ = √d λ / ‖λ‖₂;   δ = ‖λ̂ - 1‖ / √(2 (d - √d));   φ = (d - δ² (d - √d))² / d²;   ι = (d φ - 1) / (d - 1).
    ‖λ̂ - 1‖² = 2 d - 2 √d Σλ / ‖λ‖₂, so d - δ² (d - √d) = √d Σλ / ‖λ‖₂ and d φ = (Σλ)² / Σλ²:
    ι = (participation ratio - 1) / (d - 1).

It says nothing of where the cloud lies; that is what the mean cosine of frames of different clips
says (Ethayarajh 2019, arXiv 1909.00512), which is not centred: near 1, all frames point one way.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.geometry.jackknife import leave_out

__all__ = [
    "Moments",
    "effective_rank",
    "eigenvalues",
    "isoscore",
    "mean_cosine",
    "moments",
    "participation_ratio",
]

_ROWS = 1024  # of one float32 product; the products are summed in float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Sums over the frames of each part of the jackknife, in float64, about a common origin."""

    n: Float[Tensor, " parts"]
    x: Float[Tensor, "parts dim"]
    xx: Float[Tensor, "parts dim dim"]

    def scatter(self, weights: Float[Tensor, " parts"]) -> Float[Tensor, "dim dim"]:
        """Return Σ (x - mean)(x - mean)ᵀ over the parts with weight 1."""
        weights = weights.to(self.n)
        total = weights @ self.x
        squares = torch.tensordot(weights, self.xx, 1)
        scatter: Tensor = squares - torch.outer(total, total) / (weights @ self.n)
        return scatter


def moments(x: Float[Tensor, "clips *rounds dim"], fold: Int[Tensor, " clips"]) -> Moments:
    """Sum frames and their products in every part of the jackknife.

    Args:
        x: Frames or clip vectors.
        fold: Part of every clip.
    """
    centre = x.flatten(0, -2).mean(0)  # any origin will do; a near one loses no digits
    fold, n_parts = fold.to(x.device), int(fold.max()) + 1
    n = torch.zeros(n_parts, dtype=torch.float64, device=x.device)
    total, products = n.new_zeros(n_parts, x.shape[-1]), n.new_zeros(n_parts, *2 * x.shape[-1:])
    for part in range(n_parts):
        for block in torch.split((x[fold == part] - centre).flatten(0, -2), _ROWS):
            n[part] += len(block)
            total[part] += block.sum(0)
            products[part] += block.T @ block
    return Moments(n=n, x=total, xx=products)


def eigenvalues(found: Moments) -> Float[Tensor, "replicates dim"]:
    """Spectrum of the scatter of all frames (row 0), then without each part.

    One replicate at a time: together they would need as many times the memory, and LAPACK takes them
    one by one anyway.
    """
    parts = torch.eye(len(found.n), dtype=torch.float64)
    return torch.stack(
        [torch.linalg.eigvalsh(found.scatter(weights)).clamp(min=0) for weights in leave_out(parts)]
    )


def effective_rank(variances: Float[Tensor, "*replicates dim"]) -> Float[Tensor, "*replicates"]:
    """Exponential of the entropy of the singular values; NaN of a constant."""
    singular = variances.sqrt()
    shares = singular / singular.sum(-1, keepdim=True) + 1e-7
    rank: Tensor = (-(shares * shares.log()).sum(-1)).exp()
    return rank


def participation_ratio(
    variances: Float[Tensor, "*replicates dim"],
) -> Float[Tensor, "*replicates"]:
    """Squared sum over the sum of squares of the eigenvalues; NaN of a constant."""
    ratio: Tensor = variances.sum(-1).square() / variances.square().sum(-1)
    return ratio


def isoscore(variances: Float[Tensor, "*replicates dim"]) -> Float[Tensor, "*replicates"]:
    """Share of the dimensions used evenly: 0 for a line, 1 for a ball."""
    score: Tensor = (participation_ratio(variances) - 1) / (variances.shape[-1] - 1)
    return score


def mean_cosine(
    x: Float[Tensor, "clips rounds dim"], fold: Int[Tensor, " clips"]
) -> Float[Tensor, " replicates"]:
    """Mean cosine of two frames of different clips: of all clips, then without each part.

    With u the unit vectors and U_c their sum over a clip, Σ_{c≠c'} U_c·U_c' = ‖Σ U_c‖² - Σ ‖U_c‖².
    """
    direction = torch.nn.functional.normalize(x, dim=-1).sum(1).double()
    n_parts, part = int(fold.max()) + 1, fold.to(x.device)
    sums = direction.new_zeros(n_parts, x.shape[2]).index_add_(0, part, direction)
    own = direction.new_zeros(n_parts).index_add_(0, part, direction.square().sum(1))
    clips = leave_out(torch.bincount(part, minlength=n_parts).double())
    pairs = clips * (clips - 1) * x.shape[1] ** 2
    mean: Tensor = (leave_out(sums).square().sum(1) - leave_out(own)) / pairs
    return mean
