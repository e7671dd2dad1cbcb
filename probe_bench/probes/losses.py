"""The two log-losses of logistic regression: value, residual and class curvature of a block.

Scores are laid out `problems classes samples`: each row of a problem's weights times all samples
is one row of a matrix product, and sums over classes run along memory.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Loss", "Sigmoid", "Softmax"]


@runtime_checkable
class Loss(Protocol):
    """A log-loss over blocks of samples; both methods may overwrite `scores`."""

    def residual(
        self, scores: Float[Tensor, "problems classes samples"], targets: Tensor
    ) -> tuple[Float[Tensor, " problems"], Float[Tensor, "problems classes samples"]]:
        """Return the summed loss (float64) and its derivative by the scores."""
        ...

    def curvature(
        self, scores: Float[Tensor, "problems classes samples"]
    ) -> Float[Tensor, "problems classes classes"]:
        """Return the summed second derivative by the scores (float64)."""
        ...


class Softmax:
    """Multinomial log-loss; targets are class indices, one per sample."""

    def residual(
        self, scores: Float[Tensor, "problems classes samples"], targets: Tensor
    ) -> tuple[Float[Tensor, " problems"], Float[Tensor, "problems classes samples"]]:
        """Loss log Σ exp z - z_y and derivative p - onehot(y).

        Where the classifier is sure, p_y - 1 and log p_y would lose all their digits; both are
        taken from the sum over the *other* classes instead.
        """
        index = targets.expand(len(scores), 1, -1)
        scores -= scores.amax(1, keepdim=True)
        target_score = scores.gather(1, index)
        scores.exp_().scatter_(1, index, 0.0)
        others = scores.sum(1, keepdim=True)
        total = others + target_score.exp()
        loss = torch.where(target_score == 0, others.log1p(), total.log() - target_score)
        scores /= total
        return loss.double().sum((1, 2)), scores.scatter_(1, index, -others / total)

    def curvature(
        self, scores: Float[Tensor, "problems classes samples"]
    ) -> Float[Tensor, "problems classes classes"]:
        """Σ_i diag(p_i) - p_i p_iᵀ."""
        p = torch.softmax(scores, 1)
        return torch.diag_embed(p.double().sum(2)) - (p @ p.mT).double()


class Sigmoid:
    """Independent log-loss of one class a problem; targets are 0 or 1, `problems samples`."""

    def residual(
        self, scores: Float[Tensor, "problems classes samples"], targets: Tensor
    ) -> tuple[Float[Tensor, " problems"], Float[Tensor, "problems classes samples"]]:
        """Loss softplus(u) and derivative s sigmoid(u), with s = 1 - 2 y and u = s z."""
        sign = 1 - 2 * targets.unsqueeze(1)
        scores *= sign
        loss = torch.nn.functional.softplus(scores).double().sum((1, 2))
        return loss, scores.sigmoid_().mul_(sign)

    def curvature(
        self, scores: Float[Tensor, "problems classes samples"]
    ) -> Float[Tensor, "problems classes classes"]:
        """Σ_i p_i (1 - p_i)."""
        p = torch.sigmoid(scores)
        return (p * (1 - p)).double().sum(2, keepdim=True)
