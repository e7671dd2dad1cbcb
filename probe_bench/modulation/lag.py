"""Find the lag at which a layer's tokens predict the reference best."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.modulation.pairing import Pairing

__all__ = ["best_lag", "lag_grid"]

_LAG_S = (-0.45, 0.2)  # a causal filter of order 4 at 1 Hz lags by 0.42 s
_STEP_S = 0.01


def lag_grid(rate_hz: float) -> Int[Tensor, " lags"]:
    """Lags in reference rows, about 10 ms apart; 0 is among them."""
    step = max(1, round(_STEP_S * rate_hz))
    low, high = (round(lag_s * rate_hz / step) for lag_s in _LAG_S)
    return torch.arange(low, high + 1) * step


def best_lag(
    x: Float[Tensor, "tokens dim"],
    y: Float[Tensor, "rows components"],
    pairing: Pairing,
    fold: Int[Tensor, " tokens"],
    *,
    lags: Int[Tensor, " lags"],
    ridge: float,
) -> int:
    """Return the lag with the largest held-out R², of equal ones the smallest.

    All lags are fitted together: they share the Gram matrix of the tokens, and the explained variance
    of a held-out fold follows from its moments without predicting a single frame.

    Args:
        x: Whitened tokens.
        y: Reference components of unit variance.
        pairing: Rows of the tokens.
        fold: Fold of every token.
        lags: Lags to try, in reference rows.
        ridge: Penalty relative to the mean variance of the tokens.
    """
    gram, cross, total = _moments(x, y, pairing, fold, lags)
    eye = ridge * torch.eye(x.shape[1], dtype=gram.dtype, device=x.device)
    factor = torch.linalg.cholesky(gram.sum(0) - gram + eye)
    train = torch.cholesky_solve((cross.sum(0) - cross).flatten(2), factor).view(cross.shape)
    # |y - W'x|^2 summed over the held-out fold = yy - 2 W'C + W'G W, all per token.
    explained = 2 * (train * cross).sum((1, 3)) - torch.einsum(
        "fdlk,fde,felk->fl", train, gram, train
    )
    r2 = explained.sum(0) / total.sum(0)
    order = lags.abs().argsort(stable=True)
    return int(lags[order][r2[order].argmax()])


def _moments(
    x: Tensor, y: Tensor, pairing: Pairing, fold: Tensor, lags: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gram `folds dim dim`, cross moments `folds dim lags components` and power `folds lags`.

    Tokens whose row at a lag falls outside their clip are missing at this lag only, so cross moments
    are scaled up by the share that is there.
    """
    rows, inside = pairing.rows(lags.to(x.device))
    gram, cross, total = [], [], []
    for k in range(int(fold.max()) + 1):
        held = fold == k
        z, there = x[held], inside[held]
        wanted = y[rows[held]] * there[..., None]
        share = (there.sum(0).clamp(min=1) / len(z)).double()
        gram.append((z.T @ z).double())
        cross.append(
            (z.T @ wanted.flatten(1)).reshape(-1, *wanted.shape[1:]).double() / share[:, None]
        )
        total.append(wanted.square().sum((0, 2)).double() / share)
    n = len(x)
    return torch.stack(gram) / n, torch.stack(cross) / n, torch.stack(total) / n
