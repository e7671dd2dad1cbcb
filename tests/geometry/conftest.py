"""Layers made in memory, on a corpus whose clips have speakers and phones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.corpus import Clip, Corpus, Segment
from probe_bench.encoder import Layer

PHONES = ("a", "b", "c", "d e", "f")


@dataclass(frozen=True)
class MadeFeatures:
    """Features held in memory."""

    layers: tuple[Layer, ...]
    held: Sequence[Sequence[Tensor]]
    encoder: str = "made"

    def pooled(self, layer: int) -> Tensor:
        return torch.stack([torch.cat([x.mean(0), x.std(0)]) for x in self.held[layer]])

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self.held[layer]])

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        return [self.held[layer][i] for i in clips]


@pytest.fixture
def made_corpus() -> Callable[..., Corpus]:
    """Clips of 2 s, each of 20 phones that touch, said by so many speakers."""

    def make(n_speakers: int = 12, n_clips: int = 96, **labels: str) -> Corpus:
        said = np.random.default_rng(0).integers(0, len(PHONES), (n_clips, 20))
        clips = []
        for i in range(n_clips):
            segments = tuple(
                Segment(start_s=k / 10, end_s=(k + 1) / 10, label=PHONES[said[i, k]])
                for k in range(20)
            )
            clips.append(
                Clip(
                    id=str(i),
                    path=Path(f"{i}.wav"),
                    duration_s=2.0,
                    labels={"speaker": f"s{i % n_speakers}", **labels},
                    phones=segments,
                )
            )
        return Corpus(name="made", clips=tuple(clips), licence="none", revision="1")

    return make


@pytest.fixture
def made_features() -> Callable[..., MadeFeatures]:
    """Wrap tables of frames, one list of clips a layer."""

    def make(
        *held: Sequence[Tensor], rate_hz: int = 50, encoder: str = "made", first_s: str = "1/100"
    ) -> MadeFeatures:
        layers = tuple(
            Layer(
                name="in" if i == 0 else f"L{i}",
                dim=clips[0].shape[1],
                depth=i / max(1, len(held) - 1),
                frame_rate_hz=Fraction(rate_hz),
                first_frame_s=Fraction(first_s),
            )
            for i, clips in enumerate(held)
        )
        return MadeFeatures(layers, held, encoder)

    return make
