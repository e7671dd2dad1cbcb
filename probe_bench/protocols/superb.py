"""SUPERB (Yang et al. 2021): a weighted sum of all layers under a linear head of two matrices.

Facts: s3prl ec8064b5, `downstream/{voxceleb1,emotion,ctc}` and `upstream/interfaces.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.protocols.protocol import Heads, Protocol, Sizes, Variant
from probe_bench.protocols.training import Candidate, Regime

__all__ = ["PROTOCOL", "WeightedHead"]

_PROJECTED = 256
_CLIP_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
_PHONE_RATES = (1e-1, 1e-2, 1e-3, 1e-4)


class WeightedHead(nn.Module):
    """Softmax-weighted sum of layers, a projection, and a linear layer, with nothing between them.

    Pooling by the mean commutes with all three, so that clips come pooled and frames as they are.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(sizes.layers))
        self.projector = nn.Linear(sizes.dim, _PROJECTED)
        self.linear = nn.Linear(_PROJECTED, sizes.classes)

    def forward(
        self, layers: Float[Tensor, "*batch layers dim"]
    ) -> Float[Tensor, "*batch classes"]:
        """Score units by their features on all layers."""
        summed = torch.einsum("...ld,l->...d", layers, self.mix.softmax(0))
        scores: Tensor = self.linear(self.projector(summed))
        return scores


def _candidates(sizes: Sizes, rates: Sequence[float]) -> list[Candidate]:
    return [
        Candidate(setting=f"lr={lr:g}", shape="", build=partial(WeightedHead, sizes), lr=lr)
        for lr in rates
    ]


_CLIPS = Regime(
    batch_size=32,
    counted_in="steps",
    longest=30_000,
    check_every=1_000,
    patience=5,
    clip_norm=1.0,
    seed=1337,
)
_HONEST = Variant(
    name="superb-honest",
    heads=Heads(candidates=partial(_candidates, rates=_CLIP_RATES), regime=_CLIPS),
)
_PUBLISHED = replace(
    _HONEST,
    name="superb",
    validation="random",
    valid_share=0.2,
    fault="the validation part is a random fifth of all training clips (s3prl's emotion task), so that "
    "its speakers are also trained on and the epoch is chosen for known voices",
)


def _clips(folds: bool, tags: bool) -> tuple[Variant, ...]:
    """Official parts of train, valid and test (speaker identification) have no fault."""
    del tags
    return (_PUBLISHED, _HONEST) if folds else (replace(_HONEST, name="superb"),)


PROTOCOL = Protocol(
    name="superb",
    summary="weighted sum of all layers, linear head, Adam, rate chosen on valid",
    source="Yang et al. 2021, SUPERB; s3prl ec8064b5",
    sums_layers=True,
    clips=_clips,
    phones=(
        Variant(
            name="superb",
            heads=Heads(
                candidates=partial(_candidates, rates=_PHONE_RATES),
                regime=replace(_CLIPS, longest=100_000, check_every=500, patience=4),
            ),
        ),
    ),
    departures=(
        (
            "training ends when validation has not improved for 5 looks (4 for phones), instead of after "
            "30,000 steps (emotion), 200,000 (speaker) or 100,000 (phones)"
        ),
        (
            "rates are tried as the challenge's rules allow (1e-1 to 1e-7; phones 1e-1 to 1e-4); "
            "s3prl's files give one"
        ),
        "whole clips, where s3prl crops training clips of speaker identification to 8 s",
        "verification (x-vector) and the tasks whose labels probe-bench does not know are not here",
    ),
)
