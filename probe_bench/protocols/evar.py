"""EVAR (Niizumi et al. 2022): standardised features under one linear layer, early stopping.

Facts: nttcslab/eval-audio-repr 88ba772, `lineareval.py`, and the classifier that it downloads,
daisukelab/general-learning `MLP/torch_mlp_clf2.py`.
"""

from dataclasses import replace
from functools import partial

from torch import nn

from probe_bench.protocols.protocol import Heads, Protocol, Sizes, Variant
from probe_bench.protocols.training import Candidate, Regime

__all__ = ["PROTOCOL"]

_LR = 3e-4


def _candidates(sizes: Sizes) -> list[Candidate]:
    build = partial(nn.Linear, sizes.dim, sizes.classes)
    return [Candidate(setting=f"lr={_LR:g}", shape="", build=build, lr=_LR)]


_HONEST = Variant(
    name="evar-honest",
    heads=Heads(
        candidates=_candidates,
        regime=Regime(
            batch_size=200,
            counted_in="epochs",
            longest=200,
            patience=20,
            l2=1e-8,
            later_wins=True,
        ),
    ),
)


def _clips(folds: bool, tags: bool) -> tuple[Variant, ...]:
    del tags
    if not folds:
        return (replace(_HONEST, name="evar"),)
    published = replace(
        _HONEST,
        name="evar",
        validation="random",
        valid_share=0.1,
        fault="of folds, a random tenth of the training clips chooses the epoch: clips cut from one "
        "recording stand on both sides",
    )
    return published, _HONEST


PROTOCOL = Protocol(
    name="evar",
    summary="linear layer on standardised mean-pooled last layer, Adam, early stopping",
    source="Niizumi et al. 2022, Composing General Audio Representation; nttcslab/eval-audio-repr 88ba772",
    sums_layers=False,
    standardises=True,
    clips=_clips,
    departures=(
        (
            "whole clips, pooled by the mean; EVAR crops training clips at random to the task's length and "
            "pools some encoders by mean and maximum"
        ),
        "one seed (EVAR's default, 42); its tables are means over several",
        "test predictions of all folds are scored together; EVAR averages the folds' scores",
    ),
)
