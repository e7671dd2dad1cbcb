"""The span sampler against a transcription in plain Python, and its realised statistics."""

import random

import numpy as np
import pytest

from probe_bench.encoders.density_jepa.spans import DensitySpanMasks
from probe_bench.encoders.pretraining.masking.masks import Grid, MaskSampler
from probe_bench.encoders.pretraining.masking.statistics import mask_statistics

PAPER = Grid(frames=37)  # 15 s


def _slow_fraction(frames: int, draws: int) -> float:
    """Hidden share by a list of booleans and another generator."""
    rng, total = random.Random(1), 0
    for _ in range(draws):
        hidden, counted = [False] * frames, 0
        while counted < frames // 2:
            span = rng.randint(2, max(4, frames // 4))
            start = rng.randint(0, max(1, frames - span))
            for t in range(start, min(start + span, frames)):
                hidden[t] = True
                counted += 1
        total += sum(hidden)
    return total / (frames * draws)


@pytest.mark.parametrize("frames", [12, 37, 80])
def test_the_hidden_share_is_that_of_the_rule_and_below_the_nominal_one(frames: int) -> None:
    masks = DensitySpanMasks().sample(4000, Grid(frames=frames), np.random.default_rng(0))
    drawn = mask_statistics(masks.context, masks.targets, Grid(frames=frames), 2.5)
    assert drawn.target_fraction == pytest.approx(_slow_fraction(frames, 4000), abs=0.006)
    assert drawn.visible_fraction == pytest.approx(1 - drawn.target_fraction)
    assert 0.3 < drawn.target_fraction < 0.5


def test_spans_last_as_long_as_published() -> None:
    masks = DensitySpanMasks().sample(2000, PAPER, np.random.default_rng(0))
    drawn = mask_statistics(masks.context, masks.targets, PAPER, 2.5)
    runs_s = [ms / 1000 for ms in drawn.histogram_ms]
    # Spans of 2 to 9 frames are 0.8 to 3.6 s; the edge of the clip cuts none, overlap lengthens.
    assert min(runs_s) == pytest.approx(0.8)
    assert max(runs_s) > 3.6


def test_the_same_state_gives_the_same_masks_for_all_bands() -> None:
    sampler = DensitySpanMasks()
    assert isinstance(sampler, MaskSampler)
    grid = Grid(frames=20, bands=3)
    first = sampler.sample(5, grid, np.random.default_rng(7))
    again = sampler.sample(5, grid, np.random.default_rng(7), progress=0.9)
    assert (first.targets == again.targets).all()
    by_band = first.context.view(5, 20, 3)
    assert (by_band == by_band[..., :1]).all()
    assert (first.context ^ first.targets[:, 0]).all()
    assert first.context.any(1).all()
