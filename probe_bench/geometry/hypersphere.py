"""Alignment and uniformity of clip vectors on the unit sphere (Wang & Isola 2020, arXiv 2005.10242).

Vectors are centred on their mean before they are scaled to unit length: the losses were made for
representations trained on the sphere, and of any other the offset from the origin would be all that
they see (every pair close together). The mean cosine reports that offset.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.geometry.jackknife import leave_out

__all__ = ["alignment", "on_sphere", "uniformity"]


def on_sphere(x: Float[Tensor, "clips dim"]) -> Float[Tensor, "clips dim"]:
    """Centre vectors and scale them to unit length, in float64."""
    x = x.double()
    return torch.nn.functional.normalize(x - x.mean(0), dim=1)


def alignment(
    u: Float[Tensor, "clips dim"], group: Int[Tensor, " clips"], fold: Int[Tensor, " clips"]
) -> Float[Tensor, " replicates"]:
    """Mean squared distance of two clips of one group; every group counts alike.

    In a group of n unit vectors of sum S, Σ_{i≠j} ‖u_i - u_j‖² = 2 n² - 2 ‖S‖².

    Args:
        u: Unit vectors.
        group: What makes two clips a positive pair; groups of one clip have none.
        fold: Part of the jackknife of every clip; groups lie in one part.

    Returns:
        Over all groups, then without each part; NaN if no group has two clips.
    """
    group, fold = group.to(u.device), fold.to(u.device)
    n = torch.bincount(group).double()
    sums = u.new_zeros(len(n), u.shape[1]).index_add_(0, group, u)
    paired = n > 1
    distance = 2 * (n.square() - sums.square().sum(1))[paired] / (n * (n - 1))[paired]
    part = torch.zeros_like(n, dtype=torch.long).scatter_(0, group, fold)[paired]
    n_parts = int(fold.max()) + 1
    total = u.new_zeros(n_parts).index_add_(0, part, distance)
    mean: Tensor = leave_out(total) / leave_out(torch.bincount(part, minlength=n_parts).double())
    return mean


def uniformity(
    u: Float[Tensor, "clips dim"], fold: Int[Tensor, " clips"]
) -> Float[Tensor, " replicates"]:
    """Log of the mean of exp(-2 ‖u_i - u_j‖²) over pairs of clips; lower is more even.

    Returns:
        Of all clips, then without each part.
    """
    potential = (-4 * (1 - u @ u.T)).exp()
    potential.fill_diagonal_(0)
    member = torch.nn.functional.one_hot(fold.to(u.device)).to(u)
    kept = leave_out(torch.eye(member.shape[1], dtype=u.dtype, device=u.device))
    sums = ((kept @ (member.T @ potential @ member)) * kept).sum(1)
    clips = kept @ member.sum(0)
    log_mean: Tensor = (sums / (clips * (clips - 1))).log()
    return log_mean
