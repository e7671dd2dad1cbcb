"""Phone recognition on one task: CTC heads of every fold, decoded on test clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from probe_bench.corpus import Clip, Corpus
from probe_bench.features import Features
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.ctc import CtcHead, train_ctc
from probe_bench.probes.ctc_bilstm import BiLstmHead, train_bilstm
from probe_bench.probes.decoding import (
    BLANK,
    beam_search,
    collapse,
    error_rate,
    settle_blank,
    spell,
)
from probe_bench.probes.frames import equal_timing, in_blocks, strided_frames
from probe_bench.probes.stitching import FoldPredictions, stitch
from probe_bench.scoring import Predictions
from probe_bench.splits import Fold
from probe_bench.task import Measure, ProbeName, Task

__all__ = ["Head", "phone_sequence", "recognise", "transcribe"]

SILENCE = "sil"
_CLIPS_AT_ONCE = 256

_RECURRENT: frozenset[ProbeName] = frozenset({"ctc-bilstm", "ctc-bilstm-beam"})
_BEAM: frozenset[ProbeName] = frozenset({"ctc-beam", "ctc-bilstm-beam"})

Plan = tuple[list[int], list[int], list[int]]


@runtime_checkable
class Head(Protocol):
    """A trained recogniser of one layer."""

    @property
    def phones(self) -> tuple[str, ...]:
        """Phone of each row behind the blank."""
        ...

    @property
    def stride(self) -> int:
        """Frames averaged into one."""
        ...

    @property
    def held_back(self) -> float:
        """What was taken from the logit of the blank."""
        ...

    @property
    def valid_per(self) -> float:
        """Phone error rate on the validation clips, decoded greedily."""
        ...

    def scores(self, frames: Sequence[Float[Tensor, "_ dim"]]) -> list[Float[Tensor, "_ rows"]]:
        """Score the raw frames of each clip."""
        ...


def phone_sequence(clip: Clip) -> tuple[str, ...]:
    """Phones of a clip in order, from the transcript or else from the alignment, without silence."""
    if clip.phone_sequence is not None:
        return clip.phone_sequence
    return tuple(segment.label for segment in clip.phones or () if segment.label != SILENCE)


def recognise(
    measures: Sequence[Measure],
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    *,
    seed: int,
    config: ProbeConfig,
    further: Sequence[Features] = (),
) -> list[Predictions]:
    """Train CTC heads on all layers and transcribe the test clips, each head once for all decodings.

    The same heads then transcribe them from each of `further`.

    Clips without any phone are left out: an error rate needs a reference. Nothing is returned
    where a part is left without clips.
    """
    sequences = {i: phone_sequence(clip) for i, clip in enumerate(corpus.clips)}
    train, valid, test = (
        [[i for i in getattr(fold, part) if sequences[i]] for fold in folds]
        for part in ("train", "valid", "test")
    )
    plans: list[Plan] = list(zip(train, valid, test, strict=True))
    if not all(clips for plan in plans for clips in plan):
        return []
    parts: dict[ProbeName, list[FoldPredictions]] = {measure.probe: [] for measure in measures}
    for plan in plans:
        heads = _linear(plan, features, sequences, seed, config)
        recurrent = (
            _recurrent(heads, plan, features, sequences, seed, config)
            if _RECURRENT & parts.keys()
            else []
        )
        for probe, folds_read in parts.items():
            own = recurrent if probe in _RECURRENT else heads
            width = config.beam_width if probe in _BEAM else 1
            folds_read.append(_read(own, plan, features, sequences, width, further))
    return [
        stitch(
            folds_read,
            probe=probe,
            unit="clip",
            metric="per",
            layers=tuple(layer.name for layer in features.layers),
            classes=(),
            corpus=corpus,
            task=task,
        )
        for probe, folds_read in parts.items()
    ]


def transcribe(
    head: Head,
    features: Features,
    layer: int,
    clips: Sequence[int],
    *,
    beam_width: int = 1,
    blank: float = 0.0,
) -> list[str]:
    """Decode clips greedily or by beam search; phones separated by spaces.

    Args:
        head: Trained on the layer.
        features: Cached features.
        layer: Index of the layer.
        clips: What to decode.
        beam_width: Prefixes that beam search keeps; 1: greedy.
        blank: Given back to the logit of the blank.
    """
    found: list[str] = []
    for block in in_blocks(clips, _CLIPS_AT_ONCE):
        scores = head.scores(strided_frames(features, layer, block, head.stride))
        for x in scores:
            x[:, BLANK] += blank
        rows = (
            beam_search(scores, beam_width)
            if beam_width > 1
            else [collapse(x.argmax(1)) for x in scores]
        )
        found += [spell(each, head.phones) for each in rows]
    return found


@dataclass(frozen=True, kw_only=True)
class _Decoder:
    """A head and how it is decoded.

    Attributes:
        head: The head.
        beam_width: Prefixes that beam search keeps; 1: greedy.
        blank: Given back to the logit of the blank.
        valid_per: Phone error rate on the validation clips.
    """

    head: Head
    beam_width: int
    blank: float
    valid_per: float

    @property
    def setting(self) -> str:
        """Say how it is decoded, where that is not greedily."""
        return f";decoding=beam;width={self.beam_width}" if self.beam_width > 1 else ""


def _decoder(
    head: Head,
    features: Features,
    layer: int,
    valid: Sequence[int],
    sequences: Mapping[int, tuple[str, ...]],
    beam_width: int,
) -> _Decoder:
    """Settle the blank anew for beam search; greedy decoding is what the head was made for."""
    if beam_width == 1:
        return _Decoder(head=head, beam_width=1, blank=0.0, valid_per=head.valid_per)
    references = [" ".join(sequences[clip]) for clip in valid]

    def rate(offset: float) -> list[float]:
        blank = head.held_back - offset
        found = transcribe(head, features, layer, valid, beam_width=beam_width, blank=blank)
        return [error_rate(references, found)]

    (offset,), (lowest,) = settle_blank(rate, rate(0.0))
    return _Decoder(
        head=head, beam_width=beam_width, blank=head.held_back - offset, valid_per=lowest
    )


def _linear(
    plan: Plan,
    features: Features,
    sequences: Mapping[int, tuple[str, ...]],
    seed: int,
    config: ProbeConfig,
) -> list[CtcHead]:
    """Train a linear head a layer."""
    train, valid, _ = plan
    heads: dict[int, CtcHead] = {}
    for group in equal_timing(features):
        trained = train_ctc(features, group, train, valid, sequences, seed=seed, config=config.ctc)
        heads.update(zip(group, trained, strict=True))
    return [heads[layer] for layer in range(len(features.layers))]


def _recurrent(
    linear: Sequence[CtcHead],
    plan: Plan,
    features: Features,
    sequences: Mapping[int, tuple[str, ...]],
    seed: int,
    config: ProbeConfig,
) -> list[BiLstmHead]:
    """Train a recurrent head a layer, from the linear ones."""
    train, valid, _ = plan
    own = config.ctc_bilstm
    return [
        train_bilstm(head, features, layer, train, valid, sequences, seed=seed, config=own)
        for layer, head in enumerate(linear)
    ]


def _read(
    heads: Sequence[Head],
    plan: Plan,
    features: Features,
    sequences: Mapping[int, tuple[str, ...]],
    beam_width: int,
    further: Sequence[Features],
) -> FoldPredictions:
    """Decode the test clips by the heads of all layers."""
    _, valid, test = plan
    decoders = [
        _decoder(head, features, layer, valid, sequences, beam_width)
        for layer, head in enumerate(heads)
    ]
    hypotheses, *others = [
        np.array(
            [
                transcribe(each.head, source, k, test, beam_width=beam_width, blank=each.blank)
                for k, each in enumerate(decoders)
            ],
            dtype=object,
        )
        for source in (features, *further)
    ]
    rates = [
        layer.frame_rate_hz / each.head.stride
        for layer, each in zip(features.layers, decoders, strict=True)
    ]
    return FoldPredictions(
        clip=np.array(test),
        targets=np.array([" ".join(sequences[clip]) for clip in test], dtype=object),
        predicted=hypotheses,
        settings=tuple(
            f"ctc_frame_rate_hz={float(rate):g}{each.setting}"
            for rate, each in zip(rates, decoders, strict=True)
        ),
        valid_values=tuple(each.valid_per for each in decoders),
        further=tuple(others),
    )
