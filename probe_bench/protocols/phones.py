"""Phone transcripts by SUPERB: one CTC head on the frames of a weighted sum of all layers, greedy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import ctc_loss, log_softmax
from torch.nn.utils.rnn import pad_sequence

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.decoding import BLANK, collapse, error_rate, spell
from probe_bench.probes.frames import in_blocks
from probe_bench.probes.recognise import phone_sequence
from probe_bench.probes.stitching import FoldPredictions, largest_index
from probe_bench.protocols.layers import from_sum, in_step, stacked_frames
from probe_bench.protocols.protocol import Protocol, Sizes, Variant
from probe_bench.protocols.superb import WeightedHead
from probe_bench.protocols.training import train
from probe_bench.scoring import Predictions
from probe_bench.splits import Fold
from probe_bench.task import Task

__all__ = ["read_phones"]

_CLIPS_AT_ONCE = 32


def read_phones(
    protocol: Protocol,
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
) -> list[Predictions]:
    """Train the CTC heads of a protocol and transcribe the test clips.

    Returns:
        One set of predictions a variant, `best` alone; none where a part has no clips with phones, or
        the layers differ in frame rate.
    """
    sequences = {i: phone_sequence(clip) for i, clip in enumerate(corpus)}
    parts = [
        [[i for i in clips if sequences[i]] for clips in (fold.train, fold.valid, fold.test)]
        for fold in folds
    ]
    layers = in_step(features)
    if not all(clips for fold in parts for clips in fold) or not layers:
        return []
    return [
        _variant(variant, task, corpus, parts, features, layers, sequences)
        for variant in protocol.phones
    ]


def _variant(
    variant: Variant,
    task: Task,
    corpus: Corpus,
    folds: Sequence[Sequence[Sequence[int]]],
    features: Features,
    layers: Sequence[int],
    sequences: dict[int, tuple[str, ...]],
) -> Predictions:
    found = [_fold(variant, features, layers, sequences, *clips) for clips in folds]
    names = [features.layers[k].name for k in layers]
    return from_sum(
        found, names, probe=variant.name, unit="clip", metric="per", corpus=corpus, task=task
    )


def _fold(
    variant: Variant,
    features: Features,
    layers: Sequence[int],
    sequences: dict[int, tuple[str, ...]],
    train_clips: Sequence[int],
    valid: Sequence[int],
    test: Sequence[int],
) -> tuple[FoldPredictions, Float[Tensor, " layers"]]:
    """Train on one fold, choose on its validation clips, and transcribe its test clips."""
    assert variant.heads
    phones = tuple(sorted({phone for clip in train_clips for phone in sequences[clip]}))
    problem = _Problem(
        features=features,
        layers=layers,
        clips=train_clips,
        valid=valid,
        sequences=sequences,
        phones=phones,
    )
    dim = features.layers[layers[0]].dim
    sizes = Sizes(layers=len(layers), dim=dim, classes=len(phones) + 1)
    device = features.frames(layers[0], train_clips[:1])[0].device
    trained = train(variant.heads.candidates(sizes), problem, variant.heads.regime, device)
    best = trained[largest_index([each.value for each in trained])]
    with torch.no_grad():
        heard = problem.transcribe(lambda x: best.module(x).unsqueeze(0), test)[0]
    assert isinstance(best.module, WeightedHead)
    return (
        FoldPredictions(
            clip=np.array(test),
            targets=np.array([" ".join(sequences[clip]) for clip in test], dtype=object),
            predicted=np.array([heard], dtype=object),
            settings=(f"{best.candidate.setting};epoch={best.epoch}",),
            valid_values=(-best.value,),
        ),
        best.module.mix.detach().softmax(0),
    )


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """Clips of one fold; frames are read from the cache batch by batch, padded to the longest."""

    features: Features
    layers: Sequence[int]
    clips: Sequence[int]
    valid: Sequence[int]
    sequences: dict[int, tuple[str, ...]]
    phones: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, units: Int[Tensor, " batch"]) -> Float[Tensor, "batch frames layers dim"]:
        return self._read([self.clips[i] for i in units.tolist()])

    def _read(self, clips: Sequence[int]) -> Float[Tensor, "batch frames layers dim"]:
        return pad_sequence(stacked_frames(self.features, self.layers, clips), batch_first=True)

    def _lengths(self, clips: Sequence[int]) -> Int[Tensor, " batch"]:
        return self.features.n_frames(self.layers[0])[torch.as_tensor(clips)].cpu()

    def losses(
        self,
        outputs: Float[Tensor, "heads batch frames rows"],
        units: Int[Tensor, " batch"],
    ) -> Float[Tensor, " heads"]:
        """CTC loss, each clip's divided by its phones, averaged over clips; impossible ones count 0."""
        clips = [self.clips[i] for i in units.tolist()]
        place = {phone: k + 1 for k, phone in enumerate(self.phones)}
        transcripts = [torch.tensor([place[p] for p in self.sequences[clip]]) for clip in clips]
        sizes, n_heads = torch.tensor([len(each) for each in transcripts]), len(outputs)
        loss = ctc_loss(
            log_softmax(outputs, -1).flatten(0, 1).movedim(1, 0),
            torch.cat(transcripts * n_heads).to(outputs.device),
            self._lengths(clips).repeat(n_heads),
            sizes.repeat(n_heads),
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        return (loss.view(n_heads, -1) / sizes.to(loss.device)).mean(1)

    def values(
        self,
        forward: Callable[[Float[Tensor, "batch ..."]], Float[Tensor, "heads batch frames rows"]],
    ) -> list[float]:
        references = [" ".join(self.sequences[clip]) for clip in self.valid]
        return [-error_rate(references, heard) for heard in self.transcribe(forward, self.valid)]

    def transcribe(
        self,
        forward: Callable[[Float[Tensor, "batch ..."]], Float[Tensor, "heads batch frames rows"]],
        clips: Sequence[int],
    ) -> list[list[str]]:
        """Decode clips greedily by every head; phones separated by spaces."""
        found: list[list[list[str]]] = []
        for block in in_blocks(clips, _CLIPS_AT_ONCE):
            winners, lengths = forward(self._read(block)).argmax(-1).cpu(), self._lengths(block)
            found.append(
                [
                    [
                        spell(collapse(row[:n]), self.phones)
                        for row, n in zip(head, lengths.tolist(), strict=True)
                    ]
                    for head in winners
                ]
            )
        return [[said for block in found for said in block[k]] for k in range(len(found[0]))]
