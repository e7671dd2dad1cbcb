"""Mask samplers and their realised statistics."""

import numpy as np
import pytest
import torch

from probe_bench.encoders.pretraining.masks import (
    Grid,
    Masks,
    PatchMasks,
    SpanMasks,
    hidden_runs,
    mask_statistics,
    select,
)

PAPER_GRID = Grid(frames=200)


def test_wavjepa_masks_have_the_published_statistics() -> None:
    masks = SpanMasks().sample(2000, PAPER_GRID, np.random.default_rng(0))
    drawn = mask_statistics(masks, PAPER_GRID, 100.0)
    # Simulated from the published masker: 19.5 %, 22.8 %, about 64 %, about 27 frames.
    assert drawn.visible_fraction == pytest.approx(0.195, abs=0.003)
    assert drawn.group_fraction == pytest.approx(0.228, abs=0.003)
    assert drawn.target_fraction == pytest.approx(0.64, abs=0.01)
    assert drawn.hidden_run_ms == pytest.approx(270, abs=10)


def test_the_last_frame_is_never_a_target() -> None:
    masks = SpanMasks().sample(1000, PAPER_GRID, np.random.default_rng(0))
    share = masks.targets.float().mean((0, 1))
    assert share[-1] == 0
    assert share[0] == pytest.approx(0.025, abs=0.01)
    assert share[100] == pytest.approx(0.246, abs=0.03)


def test_context_keeps_its_least_share_and_no_target() -> None:
    masks = SpanMasks().sample(500, PAPER_GRID, np.random.default_rng(1))
    assert masks.context.float().mean(1).min() >= 0.1
    assert not (masks.context & masks.targets.any(1)).any()


def test_a_hopeless_setting_ends_with_the_best_draw() -> None:
    sampler = SpanMasks(context_probability=5.0, min_context=0.99, max_draws=5)
    masks = sampler.sample(2, Grid(frames=50), np.random.default_rng(0))
    assert masks.context.shape == (2, 50)


def test_spans_cover_every_band_of_a_frame() -> None:
    grid = Grid(frames=40, bands=3)
    masks = SpanMasks(span=4).sample(3, grid, np.random.default_rng(0))
    rows = masks.context.reshape(3, 40, 3)
    assert (rows == rows[..., :1]).all()


def test_patch_masks_hide_one_ratio_a_batch_and_differ_between_samples() -> None:
    grid = Grid(frames=50, bands=4)
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(50):
        masks = PatchMasks().sample(4, grid, rng)
        assert len(set(masks.context.sum(1).tolist())) == 1
        assert (masks.context ^ masks.targets[:, 0]).all()
        assert (masks.context[0] != masks.context[1]).any()
        ratios.append(masks.targets.float().mean().item())
    assert 0.39 <= min(ratios) < 0.45
    assert 0.55 < max(ratios) <= 0.61


def test_hidden_runs_agree_with_a_slow_loop() -> None:
    grid = Grid(frames=30, bands=2)
    context = torch.from_numpy(np.random.default_rng(3).random((5, 60)) < 0.4)
    expected = []
    for row in context:
        for band in range(2):
            run = 0
            for visible in [*row[band::2].tolist(), True]:
                if visible and run:
                    expected.append(run)
                run = 0 if visible else run + 1
    assert sorted(hidden_runs(context, grid).tolist()) == sorted(expected)


def test_statistics_are_in_milliseconds() -> None:
    context = torch.tensor([[True, False, False, True]])
    masks = Masks(context=context, targets=~context[:, None])
    drawn = mask_statistics(masks, Grid(frames=4), 25.0)
    assert drawn.hidden_run_ms == 80
    assert drawn.histogram_ms == {80.0: 1}


def test_selection_lists_chosen_tokens_in_order_and_marks_padding() -> None:
    mask = torch.tensor([[False, True, False, True], [True, True, False, True]])
    chosen = select(mask)
    assert chosen.valid is not None
    assert chosen.index[0][chosen.valid[0]].tolist() == [1, 3]
    assert chosen.index[1][chosen.valid[1]].tolist() == [0, 1, 3]


def test_full_rows_need_no_padding_mask() -> None:
    assert select(torch.tensor([[True, False], [False, True]])).valid is None
