"""ABX discriminability of triphones by fastabx (Poli et al. 2025), where it is installed.

Is a token of a triphone nearer to another token of it than to one that differs in its middle phone?
The recipe is ZeroSpeech 2021's: frames under angular distance and dynamic time warping, within a
speaker and across two, averaged over contexts, speakers and pairs of phones.

fastabx reads an item file and a folder of features. Times in the item file count frames here (frame
rate 1), so that frames are cut by the exact centres of this layer's frames at any rate.
"""

import importlib.util
import math
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import torch

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.features import Features

__all__ = ["HOW_TO_GET_IT", "Condition", "Token", "abx_error", "installed", "scorable", "triphones"]

Condition = Literal["within", "across"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
HOW_TO_GET_IT = (
    "ABX was left out, fastabx is not installed; with Python 3.12 or newer: pip install fastabx"
)
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
    """Say whether fastabx can be imported."""
    return importlib.util.find_spec("fastabx") is not None


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


def scorable(tokens: Sequence[Token], condition: Condition) -> bool:
    """Say whether there is any A, B and X: two phones in one context by one speaker, and an X.

    X is another token of A by the same speaker (`within`) or by another one (`across`).
    """
    said: dict[tuple[str, str], dict[str, dict[str, int]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(int))
    )
    for token in tokens:
        before, phone, after = token.phones
        said[before, after][token.speaker][phone] += 1
    for speakers in said.values():
        for speaker, phones in speakers.items():
            others = {p for other, theirs in speakers.items() if other != speaker for p in theirs}
            has_x = max(phones.values()) > 1 if condition == "within" else others & set(phones)
            if len(phones) > 1 and has_x:
                return True
    return False


def abx_error(
    features: Features, layer: int, tokens: Sequence[Token], condition: Condition, seed: int
) -> tuple[float, int]:
    """Score one layer.

    Args:
        features: Features of the corpus that the tokens are from.
        layer: Index of the layer.
        tokens: Triphones; those between two frames are left out.
        condition: X is by the same speaker as A and B, or by another.
        seed: Seed of the subsampling of large cells.

    Returns:
        Share of triplets in the wrong order, 0 to 1, and the number of tokens.
    """
    from fastabx import zerospeech_abx  # type: ignore[import-not-found]  # noqa: PLC0415

    clips = sorted({token.clip for token in tokens})
    frames = features.frames(layer, clips)
    lengths = {clip: len(x) for clip, x in zip(clips, frames, strict=True)}
    lines = _item_lines(tokens, features.layers[layer], lengths)
    with tempfile.TemporaryDirectory() as folder:
        for clip, x in zip(clips, frames, strict=True):
            torch.save(x.cpu(), Path(folder) / f"{clip}.pt")
        item = Path(folder) / "triphones.item"
        item.write_text("\n".join([_HEADER, *lines]) + "\n", encoding="utf-8")
        error = zerospeech_abx(
            item,
            folder,
            max_size_group=_MAX_GROUP,
            max_x_across=_MAX_ACROSS,
            speaker=condition,
            context="within",
            distance="angular",
            frequency=1,
            seed=seed,
        )
    return float(error), len(lines)


def _item_lines(tokens: Sequence[Token], layer: Layer, lengths: dict[int, int]) -> list[str]:
    """Write an item a token; phones and speakers as numbers, for a label may hold a space."""
    phones = {name: i for i, name in enumerate(sorted({p for t in tokens for p in t.phones}))}
    speakers = {name: i for i, name in enumerate(sorted({t.speaker for t in tokens}))}
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
                f"s{speakers[token.speaker]}"
            )
    return lines
