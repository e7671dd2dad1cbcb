"""Objectives: the distance between predicted and target tokens."""

from typing import Literal

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

__all__ = ["Objective", "token_loss"]

Objective = Literal["mse", "l1", "smooth_l1", "cosine", "cross_entropy"]


def token_loss(
    predicted: Float[Tensor, "tokens dim"], target: Float[Tensor, "tokens dim"], kind: Objective
) -> Float[Tensor, " tokens"]:
    """Distance of every token, averaged over features; `cosine` is 2 - 2 cos, in [0, 4].

    For `cross_entropy` (nats) predictions are logits and targets are shares of classes.
    """
    match kind:
        case "mse":
            return (predicted - target).square().mean(-1)
        case "l1":
            return (predicted - target).abs().mean(-1)
        case "smooth_l1":
            return F.smooth_l1_loss(predicted, target, reduction="none").mean(-1)
        case "cosine":
            return 2 - 2 * F.cosine_similarity(predicted, target, dim=-1)
        case "cross_entropy":
            return -(target * predicted.log_softmax(-1)).sum(-1)
