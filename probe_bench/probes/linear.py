"""Linear probes of one layer along a path of regularisation strengths."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

__all__ = ["LinearPath"]


@dataclass(frozen=True, kw_only=True)
class LinearPath:
    """Linear probes of one layer, one per strength.

    Attributes:
        l2: Strengths, as given.
        weight: Weights in the coordinates of the features the probe was fitted on (float64).
        intercept: Unpenalised intercepts (float64).
    """

    l2: tuple[float, ...]
    weight: Float[Tensor, "strengths classes dim"]
    intercept: Float[Tensor, "strengths classes"]

    def scores(self, x: Float[Tensor, "samples dim"]) -> Float[Tensor, "strengths samples classes"]:
        """Return the linear scores (logits) of all strengths."""
        flat = self.weight.flatten(0, 1).float()
        scores: Tensor = x.float() @ flat.T + self.intercept.flatten().float()
        return scores.view(len(x), *self.intercept.shape).movedim(0, 1)

    def at(self, strength: int) -> "LinearPath":
        """Return the probe of one strength alone."""
        pick = slice(strength, strength + 1)
        return LinearPath(
            l2=self.l2[pick], weight=self.weight[pick], intercept=self.intercept[pick]
        )
