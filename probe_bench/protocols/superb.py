"""SUPERB (Yang et al. 2021): a weighted sum of all layers under a linear head, for verification an x-vector.

Facts: s3prl ec8064b5, `downstream/{voxceleb1,emotion,ctc,sv_voxceleb1}`, `downstream/runner.py` and
`upstream/interfaces.py`.
"""

from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from probe_bench.protocols.protocol import Heads, Protocol, Sizes, Variant
from probe_bench.protocols.training import Candidate, Regime
from probe_bench.protocols.xvector import XVector

__all__ = ["PROTOCOL", "WeightedHead"]

_PROJECTED = 256
_RATES = (1e-1, 1e-2, 1e-3, 1e-4)
_PAIRS_RATE = 1e-4


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


def _candidates(sizes: Sizes) -> list[Candidate]:
    return [
        Candidate(setting=f"lr={lr:g}", shape="", build=partial(WeightedHead, sizes), lr=lr)
        for lr in _RATES
    ]


def _embeddings(sizes: Sizes) -> list[Candidate]:
    return [
        Candidate(
            setting=f"lr={_PAIRS_RATE:g}",
            shape="",
            build=partial(XVector, sizes),
            lr=_PAIRS_RATE,
        )
    ]


_CLIPS = Regime(
    batch_size=32,
    counted_in="steps",
    longest=200_000,
    check_every=250,
    patience=4,
    patience_epochs=5,
    clip_norm=1.0,
    seed=1337,
)
_PAIRS = replace(  # ten clips at once, their gradients added up over five batches
    _CLIPS, batch_size=50, at_once=10, clip_norm=1e3, weight_decay=0.01
)
_HONEST = Variant(
    name="superb-honest",
    heads=Heads(candidates=_candidates, regime=_CLIPS),
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
    summary="weighted sum of all layers, linear head, Adam, rate chosen on valid; verification: x-vector",
    source="Yang et al. 2021, SUPERB; s3prl ec8064b5",
    sums_layers=True,
    clips=_clips,
    phones=(
        Variant(
            name="superb",
            heads=Heads(
                candidates=_candidates,
                regime=replace(_CLIPS, longest=100_000),
            ),
        ),
    ),
    pairs=(Variant(name="superb", heads=Heads(candidates=_embeddings, regime=_PAIRS)),),
    departures=(
        (
            "training looks at validation every 250 steps and ends when 4 looks, and 5 epochs, bring nothing; "
            "s3prl looks every 500 to 5,000 steps and ends after 30,000 (emotion), 200,000 (speaker) or "
            "100,000 (phones); for verification it keeps every 10,000th of 200,000"
        ),
        (
            "learning rates of 1e-1, 1e-2, 1e-3 and 1e-4 are tried; the challenge allows 1e-1 to 1e-7, and "
            "s3prl's files give one"
        ),
        "whole clips, where s3prl crops training clips of speaker identification to 8 s",
        (
            "verification: the step is chosen on pairs of validation clips of speakers that training has not "
            "heard; s3prl trains on these speakers too and prints the best of its checkpoints on the test "
            "trials, which flatters it"
        ),
        (
            "verification: one learning rate, 1e-4, that of s3prl's file; training reads 8 s of the frames of "
            "whole clips, where s3prl crops the sound before encoding, cuts silence out of all clips and then "
            "trains on none under 2 s; clips under 16 frames are repeated up to 16; means and deviations are "
            "over a clip's own frames, where s3prl's batches add one of padding"
        ),
        "the tasks whose labels probe-bench does not know are not here",
    ),
)
