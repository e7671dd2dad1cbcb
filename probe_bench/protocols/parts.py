"""Which clips a variant trains on and which choose its epoch and setting."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from probe_bench.protocols.protocol import Variant
from probe_bench.splits import Fold

__all__ = ["divide"]


def divide(folds: Sequence[Fold], variant: Variant, seed: int) -> list[Fold]:
    """Return the folds as a variant takes them; test parts never change.

    Args:
        folds: Parts that share nothing they must not.
        variant: How its protocol validates.
        seed: Of a random validation part.
    """
    return [_part(fold, variant, seed) for fold in folds]


def _part(fold: Fold, variant: Variant, seed: int) -> Fold:
    """Return one fold as a variant takes it."""
    if variant.validation == "own":
        return fold
    pool = sorted((*fold.train, *fold.valid))
    if variant.validation == "test":
        return replace(fold, train=tuple(pool), valid=fold.test)
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed)).tolist()
    kept = max(1, min(len(pool) - 1, int((1 - variant.valid_share) * len(pool))))
    return replace(
        fold,
        train=tuple(sorted(pool[i] for i in order[:kept])),
        valid=tuple(sorted(pool[i] for i in order[kept:])),
    )
