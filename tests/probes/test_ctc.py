from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.probes.ctc import CtcConfig, train_ctc
from probe_bench.probes.frames import frame_stride
from probe_bench.probes.recognise import transcribe

PHONES = ("a", "e", "k", "s", "t")
CONFIG = CtcConfig(max_epochs=6)


class Spoken:
    """Two layers of phone codes in noise; the second is much clearer."""

    encoder = "spoken"

    def __init__(self, n_clips: int, frame_rate_hz: int = 50, seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)
        self.layers = tuple(
            Layer(
                name=f"L{k}",
                dim=10,
                depth=k / 2,
                frame_rate_hz=Fraction(frame_rate_hz),
                first_frame_s=Fraction(0),
            )
            for k in (1, 2)
        )
        codes = torch.randn(len(PHONES), 10, generator=g)
        self.sequences: dict[int, tuple[str, ...]] = {}
        self._frames: list[list[Tensor]] = [[], []]
        for i in range(n_clips):
            steps = torch.randint(1, len(PHONES), (8,), generator=g)
            phones = steps.cumsum(0) % len(PHONES)  # never twice the same in a row
            lengths = torch.randint(3, 7, (8,), generator=g) * frame_rate_hz // 50
            self.sequences[i] = tuple(PHONES[p] for p in phones)
            clean = codes[phones.repeat_interleave(lengths)]
            for k, noise in enumerate((3.0, 0.4)):
                self._frames[k].append(clean + noise * torch.randn(clean.shape, generator=g))

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        return [self._frames[layer][i] for i in clips]

    def pooled(self, layer: int) -> Tensor:
        return torch.stack([torch.cat([x.mean(0), x.std(0)]) for x in self._frames[layer]])

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self._frames[layer]])


@pytest.mark.parametrize("frame_rate_hz", [50, 100])
def test_clear_layers_are_recognised_and_noisy_ones_less(frame_rate_hz: int) -> None:
    features = Spoken(80, frame_rate_hz)
    train, valid, test = range(50), range(50, 65), list(range(65, 80))
    heads = train_ctc(features, (0, 1), train, valid, features.sequences, seed=0, config=CONFIG)
    noisy, clear = heads
    assert clear.valid_per < 0.1
    assert noisy.valid_per > clear.valid_per + 0.2
    words = transcribe(clear, features, 1, test)
    right = [said == " ".join(features.sequences[i]) for said, i in zip(words, test, strict=True)]
    assert sum(right) / len(right) > 0.5


def test_the_same_seed_gives_the_same_head_and_layers_do_not_mix() -> None:
    features = Spoken(40)
    arguments = range(25), range(25, 40), features.sequences
    both, again, (alone,) = (
        train_ctc(features, layers, *arguments, seed=0, config=CONFIG)
        for layers in ((0, 1), (0, 1), (1,))
    )
    assert torch.equal(both[1].weight, again[1].weight)
    assert alone.valid_per == pytest.approx(both[1].valid_per, abs=0.03)


def test_training_improves_on_the_flat_start() -> None:
    features = Spoken(80)
    arguments = range(50), range(50, 80), features.sequences
    still = CtcConfig(max_epochs=1, lr=0.0, flat_start_l2=30.0)  # leaves something to learn
    start, trained = (
        train_ctc(features, (1,), *arguments, seed=0, config=config)[0]
        for config in (still, replace(still, max_epochs=6, lr=CONFIG.lr))
    )
    assert trained.valid_per < start.valid_per


def test_stride_keeps_the_rate_at_most_50_hz() -> None:
    def layer(rate: Fraction) -> Layer:
        return Layer(name="L1", dim=1, depth=1.0, frame_rate_hz=rate, first_frame_s=Fraction(0))

    rates = [Fraction(25), Fraction(50), Fraction(16000, 320), Fraction(75), Fraction(100)]
    assert [frame_stride(layer(rate), 50) for rate in rates] == [1, 1, 1, 2, 2]
