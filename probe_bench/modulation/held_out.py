"""Ridge predictions of held-out folds from a few inputs, by the moments of the training folds."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["predict_held_out"]


def predict_held_out(
    inputs: Iterable[Float[Tensor, "tokens dims"]],
    y: Float[Tensor, "tokens targets"],
    fold: Int[Tensor, " tokens"],
    *,
    ridge: float,
) -> tuple[Float[Tensor, "tokens targets"], Float[Tensor, "folds targets"]]:
    """Predict every fold by a ridge readout fitted on the others.

    Args:
        inputs: What fold after fold is predicted from: all tokens, the fold's own and the others.
        y: Targets.
        fold: Fold of every token.
        ridge: Penalty relative to the mean variance of the inputs.

    Returns:
        Predictions, and the mean of the training targets of every fold.
    """
    predicted, means = torch.empty_like(y), []
    for k, x in enumerate(inputs):
        held = fold == k
        train, wanted = x[~held], y[~held]
        x_mean, y_mean = train.mean(0), wanted.mean(0)
        train = train - x_mean
        gram = (train.T @ train).double()
        penalty = ridge * gram.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny)
        gram.diagonal().add_(penalty)
        cross = (train.T @ (wanted - y_mean)).double()
        weights = torch.cholesky_solve(cross, torch.linalg.cholesky(gram)).to(x)
        predicted[held] = (x[held] - x_mean) @ weights + y_mean
        means.append(y_mean)
    return predicted, torch.stack(means)
