"""Find the lag at which a layer's tokens predict the reference best."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from probe_bench.modulation.pairing import Pairing

__all__ = ["LagSearch", "lag_grid"]

_LAG_S = (-0.45, 0.2)  # a causal filter of order 4 at 1 Hz lags by 0.42 s
_STEP_S = 0.01


def lag_grid(rate_hz: float) -> Int[Tensor, " lags"]:
    """Lags in reference rows, about 10 ms apart; 0 is among them."""
    step = max(1, round(_STEP_S * rate_hz))
    low, high = (round(lag_s * rate_hz / step) for lag_s in _LAG_S)
    return torch.arange(low, high + 1) * step


class LagSearch:
    """Finds the lag at which tokens predict a track best.

    All lags are fitted together: they share the Gram matrix of the tokens, and so do all tracks. The
    explained variance of a held-out fold follows from its moments without predicting a single frame.

    Args:
        x: Whitened tokens.
        pairing: Rows of the tokens.
        fold: Fold of every token.
        lags: Lags to try, in reference rows.
        ridge: Penalty relative to the mean variance of the tokens.
    """

    def __init__(
        self,
        x: Float[Tensor, "tokens dim"],
        pairing: Pairing,
        fold: Int[Tensor, " tokens"],
        *,
        lags: Int[Tensor, " lags"],
        ridge: float,
    ) -> None:
        self._x, self._lags = x, lags
        self._rows, self._inside = pairing.rows(lags.to(x.device))
        self._held = [fold == k for k in range(int(fold.max()) + 1)]
        gram = torch.stack([(x[held].T @ x[held]).double() for held in self._held]) / len(x)
        eye = ridge * torch.eye(x.shape[1], dtype=gram.dtype, device=x.device)
        self._gram, self._factor = gram, torch.linalg.cholesky(gram.sum(0) - gram + eye)

    def best(
        self, y: Float[Tensor, "rows components"], known: Bool[Tensor, " tokens"] | None = None
    ) -> int:
        """Return the lag with the largest held-out R², of equal ones the smallest.

        Args:
            y: Track of unit variance.
            known: Tokens for which there is a track; all if not given.
        """
        cross, total = self._moments(y, known)
        train = torch.cholesky_solve((cross.sum(0) - cross).flatten(2), self._factor)
        train = train.view(cross.shape)
        # |y - W'x|^2 summed over the held-out fold = yy - 2 W'C + W'G W, all per token.
        explained = 2 * (train * cross).sum((1, 3)) - torch.einsum(
            "fdlk,fde,felk->fl", train, self._gram, train
        )
        r2 = explained.sum(0) / total.sum(0)
        order = self._lags.abs().argsort(stable=True)
        return int(self._lags[order][r2[order].argmax()])

    def _moments(self, y: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
        """Cross moments `folds dim lags components` and power `folds lags`.

        Tokens whose row at a lag falls outside their clip are missing at this lag only, so cross
        moments are scaled up by the share that is there.
        """
        inside = self._inside if known is None else self._inside & known[:, None]
        cross, total = [], []
        for held in self._held:
            z, there = self._x[held], inside[held]
            wanted = y[self._rows[held]] * there[..., None]
            share = (there.sum(0).clamp(min=1) / len(z)).double()
            moment = (z.T @ wanted.flatten(1)).reshape(-1, *wanted.shape[1:]).double()
            cross.append(moment / share[:, None])
            total.append(wanted.square().sum((0, 2)).double() / share)
        n = len(self._x)
        return torch.stack(cross) / n, torch.stack(total) / n
