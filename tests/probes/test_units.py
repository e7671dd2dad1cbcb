from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.features import Subset, nearest_frames
from probe_bench.probes.units import UnitFeatures, Units, gather

LAYER = Layer(
    name="L1", dim=3, depth=1.0, frame_rate_hz=Fraction(50), first_frame_s=Fraction(1, 100)
)


class Pieces:
    """Clips of five frames that lie backwards; says which were read."""

    encoder, layers = "pieces", (LAYER,)

    def __init__(self, n_clips: int) -> None:
        g = torch.Generator().manual_seed(0)
        self.x = torch.randn(n_clips, 5, 3, generator=g)
        self.read: list[int] = []

    def pooled(self, layer: int) -> Tensor:
        raise AssertionError("read whole")

    def n_frames(self, layer: int) -> Tensor:
        return torch.full((len(self.x),), 5)

    def frames(self, layer: int, clips: list[int]) -> list[Tensor]:
        self.read += clips
        return [self.x[clip] for clip in clips]

    def reading_order(self, clips: list[int]) -> np.ndarray:
        return np.argsort(-np.array(clips))

    def pooled_of(self, layer: int, clips: list[int]) -> Tensor:
        self.read += clips
        return self.x[clips].flatten(1)


def some_units(seed: int, clips: int, n: int) -> Units:
    random = np.random.default_rng(seed)
    clip, point = random.integers(0, clips, n), random.integers(0, 5, n)
    return Units(clip=clip, time_s=(point + 0.5) / 50, labels=("a",) * n)


def test_frames_are_read_clip_by_clip_in_the_order_in_which_they_lie() -> None:
    pieces, units = Pieces(200), some_units(1, 200, 900)
    x = gather(pieces, 0, units)
    assert units.time_s is not None
    for row, clip, time_s in zip(x, units.clip, units.time_s, strict=True):
        at = nearest_frames(torch.tensor([time_s]), LAYER, 5)
        assert torch.equal(row, pieces.x[clip, at[0]])
    read = pieces.read[1:]  # the first reading asks for the width
    assert read == sorted(set(units.clip.tolist()), reverse=True)


def test_blocks_of_units_are_small_however_many_clips_there_are() -> None:
    pieces = Pieces(500)
    blocks = UnitFeatures(features=pieces, layer=0, units=some_units(2, 500, 4000))
    sizes = [len(places) for places, _ in blocks]
    assert sum(sizes) == 4000
    assert max(sizes) < 1000
    assert sorted(torch.cat([places for places, _ in blocks]).tolist()) == list(range(4000))


def test_pooled_clips_are_read_without_those_that_nobody_asked_for() -> None:
    pieces = Pieces(50)
    own = Subset(pieces, list(range(10, 40)))
    units = Units(clip=np.array([3, 0, 7]), time_s=None, labels=("a", "b", "c"))
    assert torch.equal(gather(own, 0, units), pieces.x[[13, 10, 17]].flatten(1))
    assert set(pieces.read) == {13, 10, 17}
