"""Linear CKA between layers, unbiased, in minibatches that hold no two frames of a clip.

CKA is the cosine of two centred Gram matrices, HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)) (Kornblith et
al. 2019, arXiv 1905.00414). The plain estimate is far too high unless there are many more frames than
dimensions; HSIC_1 (Song et al. 2012, JMLR 13, eq. 5) has no bias at any n:

    HSIC_1 = [tr(K L) + (1ᵀK1)(1ᵀL1) / ((n-1)(n-2)) - 2 (1ᵀK L1) / (n-2)] / (n (n-3)),   diagonals zero,

so it can be averaged over minibatches before the ratio is taken (Nguyen et al. 2021, arXiv 2010.15327,
eq. 3). What it does assume is independent samples. Frames that follow each other are not: two unrelated
slow representations look alike within a clip (two random walks of 40 steps by .66 and more). So a minibatch is
one *round* of some 64 clips, one frame each.

Every Gram matrix is kept, about 4 MB a layer; all pairs of layers, of one encoder or two, are then
inner products of those.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.geometry.jackknife import leave_out

__all__ = ["FEWEST_CLIPS", "cka", "grams", "hsic"]

FEWEST_CLIPS = 8
_BATCH = 64


def grams(x: Float[Tensor, "clips rounds dim"]) -> Float[Tensor, "batches rounds batch batch"]:
    """Linear Gram matrices of all minibatches, zero on the diagonal, float32 on the host.

    Clips are cut into minibatches of one size; less than one clip a minibatch is left over and unused.
    """
    n_batches = max(1, round(len(x) / _BATCH))
    size = len(x) // n_batches
    rows = x[: n_batches * size].reshape(n_batches, size, *x.shape[1:]).transpose(1, 2)
    # HSIC does not see shifts of the origin; without the mean, less is lost to rounding.
    rows = rows - rows.mean(2, keepdim=True)
    gram: Tensor = rows @ rows.transpose(2, 3)
    gram.diagonal(dim1=2, dim2=3).zero_()
    return gram.cpu()


def hsic(
    layers: Sequence[Float[Tensor, "batches rounds batch batch"]], fold: Int[Tensor, " clips"]
) -> Float[Tensor, "replicates layers layers"]:
    """Mean HSIC_1 over the minibatches, of all pairs of layers.

    Args:
        layers: `grams` of every layer, all of the same clips in the same order.
        fold: Part of the jackknife of every clip.

    Returns:
        With all clips, then without each part.
    """
    n_batches, _, size, _ = layers[0].shape
    parts = torch.nn.functional.one_hot(fold.cpu()).T[:, : n_batches * size].double()
    kept = leave_out(parts).reshape(-1, n_batches, size)
    found = torch.zeros(len(kept), len(layers), len(layers), dtype=torch.float64)
    for b in range(n_batches):
        gram = torch.stack([layer[b] for layer in layers]).double()
        found += torch.stack([_hsic(gram, mask[b]) for mask in kept])
    return found / n_batches


def _hsic(
    gram: Float[Tensor, "layers rounds batch batch"], mask: Float[Tensor, " batch"]
) -> Float[Tensor, "layers layers"]:
    """HSIC_1 of the frames where the mask is 1, averaged over the rounds."""
    n, rounds = mask.sum(), gram.shape[1]
    gram = gram[:, :, mask > 0][..., mask > 0]
    rows = gram.sum(3)
    flat, sums, totals = gram.flatten(1), rows.flatten(1), rows.sum(2)
    trace, cross, product = flat @ flat.T, sums @ sums.T, totals @ totals.T
    found: Tensor = trace + product / ((n - 1) * (n - 2)) - 2 * cross / (n - 2)
    return found / (n * (n - 3) * rounds)


def cka(
    found: Float[Tensor, "replicates layers layers"],
) -> Float[Tensor, "replicates layers layers"]:
    """Normalise HSIC to 1 of a layer with itself; NaN of a constant layer."""
    own = found.diagonal(dim1=1, dim2=2).sqrt()
    return found / (own[:, :, None] * own[:, None])
