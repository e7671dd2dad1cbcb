"""ABX discriminability of triphones by fastabx (Poli et al. 2025), where it is installed.

Is a token of a triphone nearer to another token of it than to one that differs in its middle phone?
The recipe is ZeroSpeech 2021's: frames under angular distance and dynamic time warping, within a
speaker and across two, averaged over contexts, speakers and pairs of phones.

fastabx reads an item file and a folder of features. Times in the item file count frames here (frame
rate 1), so that frames are cut by the exact centres of this layer's frames at any rate. It writes the
error of every cell (a pair of phones in one context by one speaker, X by the same or another), of
which the error without some speakers is the average over the cells that are left.
"""

import importlib.util
import math
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.features import Features

__all__ = [
    "HOW_TO_GET_IT",
    "Condition",
    "Token",
    "abx_errors",
    "count_cells",
    "installed",
    "triphones",
]

Condition = Literal["within", "across"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
HOW_TO_GET_IT = "ABX was left out, fastabx is not installed; with Python 3.12 or newer: pip install 'fastabx>=0.9'"
_OLDEST = (0, 9)  # the first that writes cells
_MAX_GROUP, _MAX_ACROSS = 10, 5  # as in ZeroSpeech 2021
_TOUCH_S = 1e-3
_ROUNDING = 1e-6  # frames: a centre on an edge belongs to the phone that starts there
_HEADER = "#file onset offset #phone prev-phone next-phone speaker"


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One triphone, from the start of its first phone to the end of its last.

    Attributes:
        clip: Number of the clip in the corpus.
        start_s: Start.
        end_s: End.
        phones: Previous, middle and next phone.
        speaker: Who says it.
    """

    clip: int
    start_s: float
    end_s: float
    phones: tuple[str, str, str]
    speaker: str


def installed() -> bool:
    """Say whether a fastabx that writes the errors of cells can be imported."""
    if importlib.util.find_spec("fastabx") is None:
        return False
    found = re.match(r"(\d+)\.(\d+)", version("fastabx"))
    return found is not None and tuple(map(int, found.groups())) >= _OLDEST


def triphones(corpus: Corpus, clips: Sequence[int]) -> list[Token]:
    """List the triphones of some clips that have phones and a speaker."""
    return [
        token
        for i in clips
        if "speaker" in corpus.clips[i].labels
        for token in _of_clip(i, corpus.clips[i])
    ]


def _of_clip(number: int, clip: Clip) -> list[Token]:
    """Three segments that touch each other are a triphone."""
    touching = [(a, b, b.start_s - a.end_s < _TOUCH_S) for a, b in pairwise(clip.phones or ())]
    return [
        Token(
            clip=number,
            start_s=first.start_s,
            end_s=last.end_s,
            phones=(first.label, middle.label, last.label),
            speaker=clip.labels["speaker"],
        )
        for (first, middle, near), (_, last, also_near) in pairwise(touching)
        if near and also_near
    ]


def count_cells(tokens: Sequence[Token], condition: Condition) -> int:
    """Count the cells: two phones, the context and speaker of both, and the speaker of X.

    X is another token of the first phone by the same speaker (`within`) or by another (`across`: of at
    most five).
    """
    said: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for token in tokens:
        before, phone, after = token.phones
        said[before, after][token.speaker][phone] += 1
    total = 0
    for speakers in said.values():
        sayers = Counter(phone for phones in speakers.values() for phone in phones)
        for phones in speakers.values():
            for phone, times in phones.items():
                n_x = times > 1 if condition == "within" else min(sayers[phone] - 1, _MAX_ACROSS)
                total += n_x * (len(phones) - 1)
    return total


def abx_errors(
    features: Features,
    layer: int,
    tokens: Sequence[Token],
    part: Mapping[str, int],
    condition: Condition,
    seed: int,
) -> tuple[Float[Tensor, " replicates"], int]:
    """Score one layer, of all speakers and without each part of them.

    Args:
        features: Features of the corpus that the tokens are from.
        layer: Index of the layer.
        tokens: Triphones; those between two frames are left out.
        part: Part of the jackknife that a speaker leaves with, 0, 1 ...
        condition: X is by the same speaker as A and B, or by another.
        seed: Seed of the subsampling of large cells.

    Returns:
        Share of triplets in the wrong order, 0 to 1, by all (row 0) and by all but each part, NaN
        where nothing is left to score; and the number of tokens.
    """
    from fastabx import zerospeech_abx  # type: ignore[import-not-found]  # noqa: PLC0415

    clips = sorted({token.clip for token in tokens})
    frames = features.frames(layer, clips)
    lengths = {clip: len(x) for clip, x in zip(clips, frames, strict=True)}
    speakers = {name: f"s{i}" for i, name in enumerate(sorted({t.speaker for t in tokens}))}
    lines = _item_lines(tokens, speakers, features.layers[layer], lengths)
    with tempfile.TemporaryDirectory() as folder:
        for clip, x in zip(clips, frames, strict=True):
            torch.save(x.cpu(), Path(folder) / f"{clip}.pt")
        item, cells = Path(folder) / "triphones.item", Path(folder) / "cells.csv"
        item.write_text("\n".join([_HEADER, *lines]) + "\n", encoding="utf-8")
        zerospeech_abx(
            item,
            folder,
            max_size_group=_MAX_GROUP,
            max_x_across=_MAX_ACROSS,
            speaker=condition,
            context="within",
            distance="angular",
            frequency=1,
            seed=seed,
            device=frames[0].device,
            write_csv=cells,
            progress=False,
        )
        table = pd.read_csv(cells)
    leaves = {number: part[name] for name, number in speakers.items()}
    return _without_each_part(table, leaves), len(lines)


def _without_each_part(
    cells: pd.DataFrame, part: Mapping[str, int]
) -> Float[Tensor, " replicates"]:
    """Average the cells of all speakers (row 0), then those that no speaker of a part takes part in."""
    who = [cells[name].map(part) for name in ("speaker", "speaker_x") if name in cells]
    stays = [pd.concat([p != k for p in who], axis=1).all(axis=1) for k in sorted({*part.values()})]
    return torch.tensor([_mean_error(cells), *(_mean_error(cells[rows]) for rows in stays)])


def _mean_error(cells: pd.DataFrame) -> float:
    """Average over contexts (and speakers of X), then over speakers, then over pairs of phones."""
    by_speaker = cells.groupby(["#phone", "#phone_b", "speaker"])["score"].mean()
    return float(by_speaker.groupby(level=[0, 1]).mean().mean())


def _item_lines(
    tokens: Sequence[Token],
    speakers: Mapping[str, str],
    layer: Layer,
    lengths: Mapping[int, int],
) -> list[str]:
    """Write an item a token; phones and speakers as numbers, for a label may hold a space."""
    phones = {name: i for i, name in enumerate(sorted({p for t in tokens for p in t.phones}))}
    first_s, rate_hz = float(layer.first_frame_s), float(layer.frame_rate_hz)
    lines = []
    for token in tokens:
        start = max(0, math.ceil((token.start_s - first_s) * rate_hz - _ROUNDING))
        end = min(lengths[token.clip], math.ceil((token.end_s - first_s) * rate_hz - _ROUNDING))
        if start < end:
            before, phone, after = (phones[name] for name in token.phones)
            # fastabx takes frames k with onset <= k + 1/2 <= offset: a quarter off either edge is exact.
            lines.append(
                f"{token.clip} {start + 0.25} {end - 0.25} p{phone} p{before} p{after} "
                f"{speakers[token.speaker]}"
            )
    return lines
