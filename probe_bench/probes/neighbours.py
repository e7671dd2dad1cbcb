"""Exact nearest neighbours by cosine, block by block: memory does not grow with either side."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

__all__ = ["nearest", "votes"]

_QUERIES, _KEYS = 512, 8192  # similarities in flight
_ELEMENTS = 1 << 23  # neighbours x classes whose votes are counted at once
_LAST = 0x7FFF_FFFF


def nearest(
    queries: Float[Tensor, "queries dim"],
    keys: Float[Tensor, "keys dim"],
    k: int,
    *,
    block: tuple[int, int] = (_QUERIES, _KEYS),
) -> tuple[Float[Tensor, "queries k"], Int[Tensor, "queries k"]]:
    """Find the k keys of highest cosine to each query, highest first, of equal ones the first.

    Args:
        queries: Unit vectors, float32.
        keys: Unit vectors on the same device.
        k: At most the number of keys.
        block: Queries and keys that are compared at once; decides memory, never the neighbours.

    Returns:
        Cosines (to 2^-22, about the rounding of a float32 product) and indices of the keys.
    """
    found = [_nearest(some, keys, k, block[1]) for some in torch.split(queries, block[0])]
    code = torch.cat(found)
    cosine = (code >> 32).to(torch.int32).view(torch.float32) - 2
    return cosine, _LAST - (code & _LAST)


def _nearest(
    queries: Float[Tensor, "queries dim"], keys: Float[Tensor, "keys dim"], k: int, size: int
) -> Int[Tensor, "queries k"]:
    """Return the codes of the nearest keys of one block of queries, highest first.

    A code holds the cosine in its upper half and the key's place, counted from the end, in its lower
    half, so that one `topk` of whole numbers settles ties as well. The bits of positive floats rise
    with their value, and a cosine + 2 lies in [1, 3].
    """
    best = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(keys), size):
        part = keys[start : start + size]
        bits = (queries @ part.T).add_(2).view(torch.int32)
        place = torch.arange(start, start + len(part), device=keys.device)
        code = bits.long().bitwise_left_shift_(32).bitwise_or_(_LAST - place)
        best = torch.cat([best, code], 1)
        best = best.topk(min(k, best.shape[1]), 1).values
    return best


def votes(
    cosine: Float[Tensor, "queries most"],
    index: Int[Tensor, "queries most"],
    targets: Shaped[Tensor, "keys ..."],
    n_classes: int,
    ks: Sequence[int],
    temperature: float,
) -> Float[Tensor, "ks queries classes"]:
    """Share of the votes that each class has among the k nearest, for every k of one search.

    A neighbour votes with weight exp(cosine / temperature) (Wu et al. 2018, Unsupervised feature
    learning via non-parametric instance discrimination, section 3.4; DINO's k-NN protocol), for its
    class or for each of its tags.

    Args:
        cosine: Of the nearest keys, highest first.
        index: Their places.
        targets: Class index of each key, or `keys classes` membership.
        n_classes: Number of classes.
        ks: Neighbours that vote; any order.
        temperature: As above.
    """
    rows = max(1, _ELEMENTS // (max(ks) * n_classes))
    blocks = zip(torch.split(cosine, rows), torch.split(index, rows), strict=True)
    return torch.cat([_votes(*each, targets, n_classes, ks, temperature) for each in blocks], 1)


def _votes(
    cosine: Float[Tensor, "queries most"],
    index: Int[Tensor, "queries most"],
    targets: Shaped[Tensor, "keys ..."],
    n_classes: int,
    ks: Sequence[int],
    temperature: float,
) -> Float[Tensor, "ks queries classes"]:
    weights = (cosine / temperature).exp()
    ends = sorted(set(ks))
    shares: dict[int, Tensor] = {}
    counted = cosine.new_zeros(len(cosine), n_classes)
    for start, stop in zip([0, *ends], ends, strict=False):
        targets_here = targets[index[:, start:stop]]
        if targets.dim() == 1:
            targets_here = torch.nn.functional.one_hot(targets_here, n_classes)
        own = weights[:, None, start:stop]
        counted = counted + (own @ targets_here.to(weights.dtype))[:, 0]
        shares[stop] = counted / weights[:, :stop].sum(1, keepdim=True)
    return torch.stack([shares[k] for k in ks])
