"""Discrete targets without a fit: a random projection and a random codebook, both frozen.

Source: Chiu et al. 2022, BEST-RQ, arXiv 2202.01855, section 3.1. It stands where HuBERT has k-means
clusters of its last iteration: classes of the sound, not of the encoder.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["RandomQuantiser"]

_WIDTH = 16  # of the projection, as published


class RandomQuantiser(nn.Module):
    """Nearest of some random unit vectors to the normalised random projection of a token.

    Args:
        dim: Width of the tokens.
        codes: Size of the codebook.
    """

    projection: Tensor
    codebook: Tensor

    def __init__(self, dim: int, codes: int) -> None:
        super().__init__()
        # The same for every training: classes are part of the recipe and not of the seed.
        generator = torch.Generator().manual_seed(0)
        projection = nn.init.xavier_normal_(torch.empty(dim, _WIDTH), generator=generator)
        codebook = F.normalize(torch.randn(codes, _WIDTH, generator=generator), dim=1)
        self.register_buffer("projection", projection, persistent=False)
        self.register_buffer("codebook", codebook, persistent=False)

    def forward(self, tokens: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows codes"]:
        """Return the class of every token as ones among zeros."""
        projected = F.normalize(tokens.float() @ self.projection, dim=-1)
        # Of unit vectors the nearest has the largest inner product.
        return F.one_hot((projected @ self.codebook.T).argmax(-1), len(self.codebook)).float()
