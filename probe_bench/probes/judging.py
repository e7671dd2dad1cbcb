"""Loss and validation of heads that classify units."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from probe_bench.metrics import LOWER_IS_BETTER
from probe_bench.scoring import plain_value
from probe_bench.task import Metric

__all__ = ["Judge", "classification_losses"]


def classification_losses(
    scores: Float[Tensor, "heads units classes"], targets: Shaped[Tensor, "units ..."]
) -> Float[Tensor, " heads"]:
    """Mean loss of each head: cross-entropy of classes, or of each tag on its own."""
    if targets.dim() == 2:
        wanted = targets.to(scores.dtype).expand_as(scores)
        loss = binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        return loss.mean((1, 2))
    loss = cross_entropy(scores.flatten(0, 1), targets.repeat(len(scores)), reduction="none")
    return loss.view(len(scores), -1).mean(1)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Judges predictions of the validation units by a task's metric.

    Attributes:
        metric: The metric.
        targets: Class indices (any index beyond for a class unknown to training), or membership.
        n_classes: Classes or tags that the heads know.
    """

    metric: Metric
    targets: Shaped[np.ndarray, "units ..."]
    n_classes: int

    def predict(
        self, scores: Float[Tensor, "heads units classes"]
    ) -> Shaped[np.ndarray, "heads units ..."]:
        """Turn scores into what the metric takes: class indices, or the scores themselves."""
        if self.targets.ndim == 2:
            return scores.detach().double().cpu().numpy()
        return scores.detach().argmax(2).cpu().numpy()

    def values(self, predicted: Shaped[np.ndarray, "heads units ..."]) -> list[float]:
        """Judge each head; higher is better."""
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        return [sign * plain_value(self.metric, self.targets, each) for each in predicted]
