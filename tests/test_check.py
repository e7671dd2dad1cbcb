"""The encoder checker passes a sound encoder and catches each way of being unsound."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from probe_bench.check import check
from probe_bench.encoders.logmel.model import LogMel


class Broken(LogMel):
    """Log-mel whose output or description is spoilt by one function."""

    def __init__(self, spoil: Callable[..., list[Tensor]] | None = None, **layer: Any) -> None:
        super().__init__(Fraction(50))
        self._spoil = spoil
        self.layers = (replace(self.layers[0], **layer),)
        self.calls = 0

    def encode(self, waveform: Tensor) -> list[Tensor]:
        self.calls += 1
        layers = super().encode(waveform)
        return self._spoil(self, waveform, layers) if self._spoil else layers


def failed(encoder: LogMel) -> set[str]:
    return {verdict.name for verdict in check(encoder) if not verdict.passed}


@pytest.mark.parametrize("rate", ["100", "50", "25/4", "75"])
def test_a_sound_encoder_passes_every_check(rate: str) -> None:
    verdicts = check(LogMel(Fraction(rate)))
    assert [v.detail for v in verdicts if not v.passed] == []
    assert len({v.name for v in verdicts}) == len(verdicts) == 10


def test_a_sound_encoder_with_a_short_window_passes() -> None:
    encoder = LogMel(Fraction(50))
    encoder.window_samples = 24_000
    assert failed(encoder) == set()


def normalised_over_the_batch(_self: Any, waveform: Tensor, layers: list[Tensor]) -> list[Tensor]:
    return [layer / waveform.std() for layer in layers]


def drifting(self: Any, _waveform: Tensor, layers: list[Tensor]) -> list[Tensor]:
    return [layer + 0.001 * self.calls for layer in layers]


def infinite_on_silence(_self: Any, waveform: Tensor, layers: list[Tensor]) -> list[Tensor]:
    return [layer / waveform.abs().amax(dim=1)[:, None, None] for layer in layers]


def half_precision(_self: Any, _waveform: Tensor, layers: list[Tensor]) -> list[Tensor]:
    return [layer.half() for layer in layers]


def without_the_first_frames(_self: Any, _waveform: Tensor, layers: list[Tensor]) -> list[Tensor]:
    return [layer[:, 3:] for layer in layers]


def delayed(_self: Any, _waveform: Tensor, layers: list[Tensor]) -> list[Tensor]:
    return [layer.roll(2, dims=1) for layer in layers]


def constant(_self: Any, _waveform: Tensor, layers: list[Tensor]) -> list[Tensor]:
    return [torch.ones_like(layer) for layer in layers]


def raising_on_four(_self: Any, waveform: Tensor, layers: list[Tensor]) -> list[Tensor]:
    if len(waveform) == 4:
        raise ValueError("one clip at a time\nplease")
    return layers


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (
            Broken(normalised_over_the_batch),
            {"batch invariance", "padding invariance", "extreme inputs"},
        ),
        (Broken(drifting), {"determinism", "batch invariance", "padding invariance"}),
        (Broken(infinite_on_silence), {"extreme inputs"}),
        (Broken(half_precision), {"layers"}),
        (Broken(delayed), {"timing"}),
        (Broken(constant), {"timing"}),
        (Broken(first_frame_s=Fraction(1, 10)), {"timing"}),
        (Broken(frame_rate_hz=Fraction(45)), {"timing", "frame counts"}),
        (Broken(dim=63), {"layers"}),
        (Broken(name="layer_1"), {"layers"}),
        (Broken(depth=1.5), {"layers"}),
        (Broken(raising_on_four), {"batch invariance"}),
    ],
)
def test_each_fault_is_caught(encoder: LogMel, expected: set[str]) -> None:
    found = failed(encoder)
    assert expected <= found
    assert "sample rate" not in found


def test_lost_frames_are_caught() -> None:
    assert {"frame counts", "timing"} <= failed(Broken(without_the_first_frames))


def test_windows_that_do_not_join_are_caught() -> None:
    def halved(_self: Any, _waveform: Tensor, layers: list[Tensor]) -> list[Tensor]:
        return [layer[:, : layer.shape[1] // 2] for layer in layers]

    encoder = Broken(halved)
    encoder.window_samples = 24_000
    assert {"windows", "frame counts"} <= failed(encoder)


def test_what_an_encoder_raises_is_told_in_one_line() -> None:
    details = {v.name: v.detail for v in check(Broken(raising_on_four)) if not v.passed}
    assert details["batch invariance"] == "raised ValueError: one clip at a time"
