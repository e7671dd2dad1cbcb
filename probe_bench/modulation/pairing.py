"""Which reference row each token is to predict at a given lag."""

from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from probe_bench.modulation.reference import Bands
from probe_bench.modulation.tokens import Tokens

__all__ = ["Pairing", "pair"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairing:
    """Rows of tokens on the reference grid.

    Attributes:
        row: Row of every token at lag 0 in the flat table of reference frames; may lie outside its
            clip.
        first: First row of the token's clip.
        end: One past the last row of the token's clip.
    """

    row: Int[Tensor, " tokens"]
    first: Int[Tensor, " tokens"]
    end: Int[Tensor, " tokens"]

    def rows(self, lags: Int[Tensor, " lags"]) -> tuple[Int[Tensor, "_ _"], Bool[Tensor, "_ _"]]:
        """Return each token's row at each lag (0 where there is none) and whether there is one."""
        rows = self.row[:, None] + lags
        inside = (rows >= self.first[:, None]) & (rows < self.end[:, None])
        return rows * inside, inside


def pair(tokens: Tokens, bands: Bands) -> Pairing:
    """Place tokens on the reference grid."""
    first = bands.frames.first[tokens.clip]
    return Pairing(
        row=first + bands.grid.first_token + bands.grid.per_token * tokens.position,
        first=first,
        end=first + bands.frames.lengths[tokens.clip],
    )
