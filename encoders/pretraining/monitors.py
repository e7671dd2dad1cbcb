"""Monitors that tell progress from collapse: the loss alone cannot (arXiv 2507.01028)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

__all__ = ["FeatureHealth", "collapse_verdict", "effective_rank", "feature_health", "mean_cosine"]

_ROWS = 4096  # enough rows for the spectrum of the widest encoder, cheap at every size


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureHealth:
    """Spread of one layer's features over a batch.

    Attributes:
        scale: Root mean square of the features.
        std_batch: Standard deviation between clips of the clip's mean, averaged over dimensions.
        std_time: Standard deviation over a clip's tokens, averaged over clips and dimensions.
        rank: Effective rank of the centred token matrix.
        dim: Number of dimensions.
    """

    scale: float
    std_batch: float
    std_time: float
    rank: float
    dim: int


def feature_health(features: Float[Tensor, "batch tokens dim"]) -> FeatureHealth:
    """Measure one layer's features."""
    rows = features.flatten(0, 1)
    stride = max(1, len(rows) // _ROWS)
    return FeatureHealth(
        scale=features.square().mean().sqrt().item(),
        std_batch=features.mean(1).std(0).mean().item(),
        std_time=features.std(1).mean().item(),
        rank=effective_rank(rows[::stride]),
        dim=features.shape[-1],
    )


def effective_rank(rows: Float[Tensor, "rows dim"]) -> float:
    """Exponential of the entropy of the singular values (RankMe, arXiv 2210.02885), centred."""
    centred = (rows - rows.mean(0)).double()
    # Singular values from the Gram matrix: dim x dim, however many rows there are.
    values = torch.linalg.eigvalsh(centred.T @ centred).clamp_min(0).sqrt()
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values / total + 1e-7
    return float((-(shares * shares.log()).sum()).exp())


def mean_cosine(
    a: Float[Tensor, "batch tokens dim"], b: Float[Tensor, "batch tokens dim"]
) -> float:
    """Cosine between matching tokens of two encoders, averaged."""
    return F.cosine_similarity(a, b, dim=-1).mean().item()


def collapse_verdict(encoder: FeatureHealth, stem: FeatureHealth) -> str:
    """Name the kind of collapse, or return `healthy`.

    `stem`: the front end no longer tells tokens apart. `constant`: one output for every input.
    `over-time`: clips differ, tokens of a clip do not. `dimensional`: few directions carry all
    variance. Thresholds are far below what a random initialisation gives.
    """
    if stem.std_time < 0.01 * stem.scale:
        return "stem"
    if max(encoder.std_time, encoder.std_batch) < 0.05 * encoder.scale:
        return "constant"
    if encoder.std_time < 0.1 * encoder.std_batch:
        return "over-time"
    if encoder.rank < max(2.0, 0.03 * encoder.dim):
        return "dimensional"
    return "healthy"
