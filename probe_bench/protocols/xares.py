"""X-ARES (Zhang et al. 2025): layer norm and a linear layer for ten epochs, and nearest neighbours.

Facts: jimbozhang/xares 161f0ef, `src/xares/{task,trainer}.py` and `models/simple.py`.
"""

from dataclasses import replace

from torch import nn

from probe_bench.protocols.protocol import Heads, Protocol, Sizes, Validation, Variant
from probe_bench.protocols.training import Candidate, Regime

__all__ = ["PROTOCOL"]

_LR = 1e-3


def _candidates(sizes: Sizes) -> list[Candidate]:
    def build() -> nn.Module:
        return nn.Sequential(nn.LayerNorm(sizes.dim), nn.Linear(sizes.dim, sizes.classes))

    return [Candidate(setting=f"lr={_LR:g}", shape="", build=build, lr=_LR)]


_HONEST = Variant(
    name="xares-honest",
    heads=Heads(
        candidates=_candidates,
        regime=Regime(batch_size=32, counted_in="epochs", longest=10, last_rate=0.1),
    ),
)
_NEIGHBOURS = (
    Variant(
        name="xares-knn",
        fault="training vectors are normalised dimension by dimension over clips, not vector by vector, "
        "so that neighbours are not nearest in angle",
    ),
    Variant(name="xares-knn-honest"),
)


def _clips(folds: bool, tags: bool) -> tuple[Variant, ...]:
    published = replace(
        _HONEST,
        name="xares",
        validation="test",
        fault="of folds, the epoch is chosen on the very fold that is then scored",
    )
    heads = (published, _HONEST) if folds else (replace(_HONEST, name="xares"),)
    if tags:
        return heads
    # Neighbours choose nothing, so that of folds all but the test part is train.
    everything: Validation = "test" if folds else "own"
    return (*heads, *(replace(each, validation=everything) for each in _NEIGHBOURS))


PROTOCOL = Protocol(
    name="xares",
    summary="layer norm and linear on mean-pooled last layer for 10 epochs; 10 nearest neighbours",
    source="Zhang et al. 2025, X-ARES; jimbozhang/xares 161f0ef",
    sums_layers=False,
    clips=_clips,
    departures=(
        "batches of 32 clips everywhere; some of X-ARES's tasks take 64",
        "whole clips, where X-ARES crops those of VoxCeleb1 to 6 s and of FSD50K to 10 s",
        "test predictions of all folds are scored together; X-ARES averages the folds' scores",
    ),
)
