"""Two-covariance PLDA of whitened, length-normalised features.

x = mu + y + e with y ~ N(0, B), one a speaker, and e ~ N(0, W), one a clip (Ioffe 2006, Probabilistic
linear discriminant analysis; Brummer and de Villiers 2010, The speaker partitioning problem). Features
are reduced to their first principal axes, whitened by their total covariance, and scaled to unit length,
which makes them near Gaussian (Garcia-Romero and Espy-Wilson 2011, Analysis of i-vector length
normalization in speaker recognition systems).

B and W are the unbiased estimates of a one-way analysis of variance, in closed form (Searle, Casella and
McCulloch 1992, Variance components, chapter 3): with scatter of clips about their speakers' means and of
those about mu,

    W = S_w / (N - S),    B = (S_b / (S - 1) - W) / n_0,    n_0 = (N - sum_s n_s^2 / N) / (S - 1),

where B keeps no negative variance. With the same number of clips of every speaker that is the restricted
maximum of the likelihood.

In coordinates u in which W = 1 and B = diag(psi), with t = psi + 1 and r = psi / t, the log ratio of the
densities of a pair under one speaker (covariance r t between its clips) and under two is

    sum_i -ln(1 - r^2) / 2 + (r u_1 u_2 - r^2 (u_1^2 + u_2^2) / 2) / (t (1 - r^2)).

Dimensions without variance between speakers add nothing, so that this is LDA to at most S - 1 dimensions
as well.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.verification import Trials, pair_sums

__all__ = ["Moments", "Plda", "fit_plda", "moments"]

_SINGULAR = 1e-9  # variance within speakers is no less than this share of the largest


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What PLDA has to know of training features.

    Attributes:
        mean: Of all clips.
        within: W.
        between: Mean square between speakers, S_b / (S - 1).
        count: n_0, the clips of a speaker that is like the average one.
    """

    mean: Float[Tensor, "*layers dim"]
    within: Float[Tensor, "*layers dim dim"]
    between: Float[Tensor, "*layers dim dim"]
    count: float


@dataclass(frozen=True, kw_only=True)
class Plda:
    """The model of one layer in the coordinates in which both covariances are diagonal.

    Attributes:
        mean: mu.
        basis: Turns x - mu into u; one column for each dimension with variance between speakers.
        psi: That variance, in units of the one within speakers.
    """

    mean: Float[Tensor, " dim"]
    basis: Float[Tensor, "dim rank"]
    psi: Float[Tensor, " rank"]

    def scores(self, x: Float[Tensor, "clips dim"], trials: Trials) -> Float[Tensor, " trials"]:
        """Log likelihood ratio of one speaker against two, for pairs of features."""
        u = (x - self.mean) @ self.basis
        r = self.psi / (self.psi + 1)
        gain = r / ((self.psi + 1) * (1 - r**2))
        own = u.square() @ (gain * r / 2)
        first, second = trials.first.to(x.device), trials.second.to(x.device)
        offset = -torch.log1p(-(r**2)).sum() / 2
        return offset + pair_sums(u * gain, u, trials) - own[first] - own[second]


def moments(x: Float[Tensor, "clips dim"], speaker: Int[Tensor, " clips"]) -> Moments:
    """Measure the variance within and between speakers of one layer, in float64.

    Args:
        x: Training features.
        speaker: Index of each clip's speaker, from 0; some have several clips.
    """
    count = torch.bincount(speaker).double()
    n, n_speakers = len(x), len(count)
    wide, mean = x.double(), x.double().mean(0)
    sums = wide.new_zeros(n_speakers, x.shape[1]).index_add_(0, speaker, wide)
    means = sums / count[:, None]
    apart, about = wide - means[speaker], (means - mean) * count[:, None].sqrt()
    return Moments(
        mean=mean,
        within=apart.T @ apart / (n - n_speakers),
        between=about.T @ about / (n_speakers - 1),
        count=float((n - count.square().sum() / n) / (n_speakers - 1)),
    )


def fit_plda(found: Moments) -> list[Plda]:
    """Solve all layers in one batch.

    Args:
        found: Moments with a leading axis of layers.
    """
    variance, axes = torch.linalg.eigh(found.within)
    least = _SINGULAR * variance[:, -1:].clamp(min=torch.finfo(torch.float64).tiny)
    white = axes / variance.clamp(min=least)[:, None].sqrt()
    ratio, turn = torch.linalg.eigh(white.mT @ found.between @ white)
    psi = ((ratio - 1) / found.count).clamp(min=0)
    return [
        Plda(mean=mean, basis=basis[:, own > 0], psi=own[own > 0])
        for mean, basis, own in zip(found.mean, white @ turn, psi, strict=True)
    ]
