"""Corpora of clips without audio, and features with planted classes."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.splits import Fold

CLASSES, DIM = 4, 12


class Planted:
    """Features of which one layer knows the class of a clip; pooled, and as frames."""

    encoder = "planted"

    def __init__(
        self, classes: Sequence[int], *, knows: int = 1, layers: int = 3, noise: float = 0.5
    ) -> None:
        g = torch.Generator().manual_seed(0)
        self.layers = tuple(
            Layer(
                name=f"L{k}",
                dim=DIM,
                depth=k / (layers - 1),
                frame_rate_hz=Fraction(50),
                first_frame_s=Fraction(0),
            )
            for k in range(layers)
        )
        codes = torch.randn(CLASSES, DIM, generator=g)
        self._means = noise * torch.randn(layers, len(classes), DIM, generator=g)
        self._means[knows] += codes[torch.as_tensor(classes)]

    def pooled(self, layer: int) -> Tensor:
        return torch.cat([self._means[layer], torch.ones_like(self._means[layer])], 1)

    def n_frames(self, layer: int) -> Tensor:
        return torch.ones(self._means.shape[1], dtype=torch.long)

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        return [self._means[layer, clip][None] for clip in clips]


@pytest.fixture
def planted() -> type[Planted]:
    """Features with planted classes."""
    return Planted


@pytest.fixture
def make_clips() -> Callable[..., Corpus]:
    """Make a corpus whose clip k has class k mod 4, as tags or any other label."""

    def make(n: int, label: str = "tags", *, name: str = "sounds") -> Corpus:
        def clip(k: int) -> Clip:
            word = f"class {k % CLASSES}"
            return Clip(
                id=f"{k:04}.wav",
                path=Path(f"{k:04}.wav"),
                duration_s=1.0,
                labels={"recording": str(k)} | ({} if label == "tags" else {label: word}),
                tags=(word,) if label == "tags" else None,
            )

        return Corpus(name=name, clips=tuple(map(clip, range(n))), licence="-", revision="-")

    return make


@pytest.fixture
def make_folds() -> Callable[[int, int], tuple[Fold, ...]]:
    """Divide n clips into k rotating folds, of one fold 60/20/20."""

    def make(n: int, k: int) -> tuple[Fold, ...]:
        part = [(i // CLASSES) % 5 for i in range(n)]

        def clips(*parts: int) -> tuple[int, ...]:
            return tuple(i for i in range(n) if part[i] in parts)

        return tuple(
            Fold(
                train=clips(*{0, 1, 2, 3, 4} - {test, (test + 1) % 5}),
                valid=clips((test + 1) % 5),
                test=clips(test),
            )
            for test in range(k)
        )

    return make
