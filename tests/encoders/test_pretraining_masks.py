"""Mask samplers and their realised statistics."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.encoders.pretraining.masking.exact import ExactSpans
from probe_bench.encoders.pretraining.masking.masks import (
    Grid,
    Masks,
    MaskSampler,
    gather_tokens,
    mask_of,
    select,
)
from probe_bench.encoders.pretraining.masking.samplers import (
    BlockMasks,
    CurriculumMasks,
    MultiMasks,
    PatchMasks,
    SpanMasks,
    StripMasks,
)
from probe_bench.encoders.pretraining.masking.statistics import hidden_runs, mask_statistics
from probe_bench.encoders.pretraining.presets import presets
from probe_bench.errors import UserError

from .micro import PRESETS

PAPER_GRID = Grid(frames=200)
AUDIO_GRID = Grid(frames=16, bands=8)
MASKED = [(s, p) for s, p in PRESETS if presets()[s][p].masks is not None]


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("system", "preset"), MASKED)
def test_context_is_there_and_disjoint_from_every_target(system: str, preset: str) -> None:
    recipe = presets()[system][preset]
    assert recipe.masks is not None
    rows = min(recipe.batch_size, 64)
    for progress in (0.0, 1.0):
        masks = recipe.masks.sample(rows, recipe.grid, _rng(), progress=progress)
        assert len(masks.context) % rows == 0
        assert masks.context.shape[1:] == masks.targets.shape[2:] == (recipe.grid.tokens,)
        assert not (masks.context & masks.targets.any(1)).any()
        assert masks.context.sum(1).min() >= 0.05 * recipe.grid.tokens
        assert masks.targets.any(1).sum(1).min() > 0
        again = recipe.masks.sample(rows, recipe.grid, _rng(), progress=progress)
        assert torch.equal(masks.context, again.context)
        assert torch.equal(masks.targets, again.targets)
        assert len(torch.unique(masks.context, dim=0)) > 1


def test_wavjepa_masks_have_the_published_statistics() -> None:
    masks = SpanMasks().sample(2000, PAPER_GRID, _rng())
    drawn = mask_statistics(masks.context, masks.targets, PAPER_GRID, 100.0)
    # Simulated from the published masker: 19.5 %, 22.8 %, about 64 %, about 27 frames.
    assert drawn.visible_fraction == pytest.approx(0.195, abs=0.003)
    assert drawn.group_fraction == pytest.approx(0.228, abs=0.003)
    assert drawn.target_fraction == pytest.approx(0.64, abs=0.01)
    assert drawn.hidden_run_ms == pytest.approx(270, abs=10)


@pytest.mark.parametrize(("probability", "visible"), [(0.15, 0.282), (0.2, 0.232), (0.3, 0.168)])
def test_wavjepa_context_follows_table_9(probability: float, visible: float) -> None:
    masks = SpanMasks(target_probability=probability).sample(1000, PAPER_GRID, _rng())
    assert masks.context.float().mean().item() == pytest.approx(visible, abs=0.01)


def test_the_last_frame_is_never_a_target() -> None:
    masks = SpanMasks().sample(1000, PAPER_GRID, _rng())
    share = masks.targets.float().mean((0, 1))
    assert share[-1] == 0
    assert share[0] == pytest.approx(0.025, abs=0.01)
    assert share[100] == pytest.approx(0.246, abs=0.03)


def test_context_keeps_its_least_share_and_no_target() -> None:
    masks = SpanMasks().sample(500, PAPER_GRID, _rng(1))
    assert masks.context.float().mean(1).min() >= 0.1
    assert not (masks.context & masks.targets.any(1)).any()


def test_a_hopeless_setting_ends_with_the_best_draw() -> None:
    sampler = SpanMasks(context_probability=1.0, min_context=0.99, max_draws=5)
    masks = sampler.sample(2, Grid(frames=50), _rng())
    assert masks.context.shape == (2, 50)


def test_spans_cover_every_band_of_a_frame() -> None:
    grid = Grid(frames=40, bands=3)
    masks = SpanMasks(span=4).sample(3, grid, _rng())
    for rows in (masks.context.reshape(3, 40, 3), masks.targets.reshape(12, 40, 3)):
        assert (rows == rows[..., :1]).all()


def test_spans_that_fill_the_crop_are_refused() -> None:
    for frames in (5, 10):
        with pytest.raises(UserError, match=f"spans of 10 frames in crops of {frames} frames"):
            SpanMasks().sample(1, Grid(frames=frames), _rng())


def test_one_group_may_hold_all_that_is_hidden() -> None:
    masks = SpanMasks(context_probability=0.69, predict_hidden=True).sample(
        200, Grid(frames=800), _rng()
    )
    assert masks.targets.shape == (200, 1, 800)
    assert torch.equal(masks.targets[:, 0], ~masks.context)
    # GLaS-JEPA states that half of the frames are masked, in spans of 10.
    assert masks.targets.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert hidden_runs(masks.context, Grid(frames=800)).min() >= 10


def test_patch_masks_hide_one_ratio_a_batch_and_differ_between_samples() -> None:
    grid, rng, ratios = Grid(frames=50, bands=4), _rng(), []
    for _ in range(50):
        masks = PatchMasks().sample(4, grid, rng)
        assert len(set(masks.context.sum(1).tolist())) == 1
        assert (masks.context ^ masks.targets[:, 0]).all()
        assert (masks.context[0] != masks.context[1]).any()
        ratios.append(masks.targets.float().mean().item())
    assert 0.39 <= min(ratios) < 0.45
    assert 0.55 < max(ratios) <= 0.61


def _box(mask: Tensor) -> tuple[int, int, int, int] | None:
    """First frame, first band, frames and bands of a mask if it is one rectangle."""
    frames, bands = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    size = len(frames), len(bands)
    inside = mask[frames[0] : frames[0] + size[0], bands[0] : bands[0] + size[1]]
    whole = inside.all() and mask.sum() == size[0] * size[1]
    return (int(frames[0]), int(bands[0]), *size) if whole else None


def test_ijepa_targets_are_rectangles_of_one_size_a_batch() -> None:
    rng, areas, ratios = _rng(), [], []
    grid = Grid(frames=40, bands=40)
    for _ in range(60):
        masks = BlockMasks().sample(4, grid, rng)
        boxes = [_box(row) for row in masks.targets.reshape(16, 40, 40)]
        assert None not in boxes
        assert len({box[2:] for box in boxes if box}) == 1
        assert len({box[:2] for box in boxes if box}) > 1
        box = boxes[0]
        assert box is not None
        areas.append(box[2] * box[3] / grid.tokens)
        ratios.append(box[2] / box[3])
    # Nothing is clipped on a square grid: what comes out is what was asked for, but for rounding.
    assert 0.14 < min(areas) < 0.16
    assert 0.19 < max(areas) < 0.21
    assert 0.7 < min(ratios) < 0.85
    assert 1.3 < max(ratios) < 1.6
    # One random number drives both, so large blocks are long ones.
    assert np.corrcoef(areas, ratios)[0, 1] > 0.9


def test_blocks_too_high_for_the_grid_grow_in_time() -> None:
    rng = _rng()
    for scale in (0.15, 0.3, 0.5):
        sampler = BlockMasks(groups=1, scale=(scale, scale), aspect=(0.1, 0.1))
        masks = sampler.sample(3, Grid(frames=50, bands=4), rng)
        share = masks.targets.float().mean().item()
        assert share == pytest.approx(scale, abs=0.011)


def _coverage(first: int, length: int) -> np.ndarray:
    """Chance of each place to be covered by a stretch with a uniform start: a slow loop."""
    count = np.zeros(length)
    for start in range(length - first + 1):
        count[start : start + first] += 1
    return count / (length - first + 1)


def test_blocks_lie_everywhere_alike_up_to_the_last_row_and_column() -> None:
    sampler = BlockMasks(groups=1, scale=(0.15, 0.15), aspect=(1.0, 1.0))
    masks = sampler.sample(4000, AUDIO_GRID, _rng())
    box = _box(masks.targets[0, 0].reshape(16, 8))
    assert box is not None
    share = masks.targets.float().mean((0, 1)).reshape(16, 8).numpy()
    expected = np.outer(_coverage(box[2], 16), _coverage(box[3], 8))
    np.testing.assert_allclose(share, expected, atol=0.03)
    assert share[-1].sum() > 0
    assert share[:, -1].sum() > 0


def test_context_is_one_rectangle_less_the_targets_and_as_long_in_every_row() -> None:
    sampler = BlockMasks(groups=2, scale=(0.05, 0.05), context_scale=(0.9, 0.9))
    masks = sampler.sample(30, AUDIO_GRID, _rng())
    counts = masks.context.sum(1)
    assert (counts == counts[0]).all()
    # What is dropped to make rows equal is random, so the last tokens are not the ones that go.
    kept = masks.context.float().mean(0)
    free = (~masks.targets.any(1)).float().mean(0)
    share = (kept / free).reshape(16, 8)
    assert share[8:].mean().item() == pytest.approx(share[:8].mean().item(), abs=0.05)
    whole = BlockMasks(groups=1, scale=(0.2, 0.2), aspect=(1.0, 1.0), context_scale=(1.0, 1.0))
    one = whole.sample(1, AUDIO_GRID, _rng())
    assert torch.equal(one.context, ~one.targets.any(1))


@pytest.mark.parametrize("grid", [AUDIO_GRID, Grid(frames=50, bands=4)])
def test_large_blocks_leave_room_for_a_context_in_every_batch(grid: Grid) -> None:
    # V-JEPA's long mask: two blocks of 70 %. Drawn once, every 18th clip has no token left on the
    # grid of 16 x 8, and the shortest context of a batch is that of all its clips.
    sampler = BlockMasks(groups=1, blocks=2, scale=(0.7, 0.7), context_scale=(1.0, 1.0))
    for seed in range(5):
        masks = sampler.sample(128, grid, _rng(seed))
        assert masks.context.sum(1).min() >= sampler.min_keep
        assert not (masks.context & masks.targets.any(1)).any()


def test_blocks_that_cover_everything_are_refused() -> None:
    for sampler in (
        BlockMasks(groups=1, scale=(1.0, 1.0)),
        StripMasks(scale=(1.0, 1.0)),
    ):
        with pytest.raises(UserError, match="leave no context"):
            sampler.sample(2, AUDIO_GRID, _rng())


def test_strips_cross_the_whole_grid() -> None:
    grid = Grid(frames=64, bands=16)
    masks = StripMasks().sample(20, grid, _rng())
    for row in masks.targets.reshape(60, 64, 16):
        frames, bands = row.all(1), row.all(0)
        # Whole frames and whole bands, nothing else.
        assert torch.equal(row, frames[:, None] | bands[None])
        assert 0.04 <= frames.float().mean().item() <= 0.08
        assert bands.sum() == 1
        for hidden in (frames, bands):
            edges = hidden.int().diff().abs().sum() + hidden[0].int() + hidden[-1].int()
            assert edges == 2  # one stretch


class _Marked:
    """A sampler that only leaves its mark."""

    def __init__(self, mark: float) -> None:
        self.mark, self.seen = mark, Counter[float]()

    def sample(
        self, batch: int, grid: Grid, rng: np.random.Generator, *, progress: float = 0.0
    ) -> Masks:
        self.seen[progress] += 1
        hidden = torch.zeros(batch, grid.tokens, dtype=torch.bool)
        hidden[:, : int(self.mark * grid.tokens)] = True
        return Masks(context=~hidden, targets=hidden[:, None])


def test_curriculum_makes_hard_batches_as_often_as_stated() -> None:
    easy, hard = _Marked(0.25), _Marked(0.75)
    sampler = CurriculumMasks(easy=easy, hard=hard, start=0.01)
    assert sampler.probability(0.0) == pytest.approx(0.01)
    assert sampler.probability(1.0) == 1
    rng = _rng()
    for progress in (0.04, 0.25, 0.64):
        # sqrt(s (1 - c^2) / S + c^2) is close to sqrt(s / S).
        assert sampler.probability(progress) == pytest.approx(progress**0.5, rel=2e-3)
        shares = [
            sampler.sample(1, AUDIO_GRID, rng, progress=progress).targets.float().mean().item()
            for _ in range(1000)
        ]
        assert np.mean(np.array(shares) > 0.5) == pytest.approx(progress**0.5, abs=0.05)
    assert set(easy.seen) == {0.04, 0.25, 0.64}


def test_several_masks_stand_one_copy_of_the_batch_after_the_other() -> None:
    sampler = MultiMasks(samplers=(_Marked(0.25), _Marked(0.75), _Marked(0.5)))
    masks = sampler.sample(2, AUDIO_GRID, _rng(), progress=0.5)
    assert masks.targets.float().mean((1, 2)).tolist() == [0.25, 0.25, 0.75, 0.75, 0.5, 0.5]
    assert (masks.context ^ masks.targets[:, 0]).all()


def test_vjepa_has_a_short_and_a_long_mask() -> None:
    recipe = presets()["ijepa"]["vjepa"]
    assert isinstance(recipe.masks, MultiMasks)
    masks = recipe.masks.sample(200, recipe.grid, _rng())
    short, long = masks.targets.float().mean((1, 2)).unflatten(0, (2, 200)).mean(1).tolist()
    # The union of 8 independent blocks of 15 % on a torus would hide 1 - .85^8 = 73 %.
    assert 0.6 < short < 0.8
    assert 0.7 < long < 0.9


@pytest.mark.parametrize(
    "sampler",
    [SpanMasks(), PatchMasks(), BlockMasks(), StripMasks(), MultiMasks(samplers=(PatchMasks(),))],
)
def test_samplers_keep_the_protocol(sampler: MaskSampler) -> None:
    assert isinstance(sampler, MaskSampler)
    hash(sampler)  # frozen values


def _slow_runs(context: Tensor, bands: int) -> list[int]:
    runs = []
    for row in context:
        for band in range(bands):
            run = 0
            for visible in [*row[band::bands].tolist(), True]:
                if visible and run:
                    runs.append(run)
                run = 0 if visible else run + 1
    return runs


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_statistics_agree_with_a_slow_loop(share: float) -> None:
    grid = Grid(frames=30, bands=2)
    rng = _rng(3)
    context = torch.from_numpy(rng.random((5, 60)) < share)
    targets = torch.from_numpy(rng.random((5, 3, 60)) < 0.3) & ~context[:, None]
    expected = _slow_runs(context, 2)
    assert sorted(hidden_runs(context, grid).tolist()) == sorted(expected)
    drawn = mask_statistics(context, targets, grid, 50.0)
    assert drawn.visible_fraction == pytest.approx(np.mean([row.mean() for row in context.numpy()]))
    assert drawn.group_fraction == pytest.approx(targets.numpy().mean())
    assert drawn.target_fraction == pytest.approx(targets.numpy().any(axis=1).mean())
    assert drawn.hidden_run_ms == pytest.approx(20 * np.mean(expected or [0]))
    assert drawn.histogram_ms == {20.0 * n: c for n, c in Counter(expected).items()}


def test_statistics_are_in_milliseconds() -> None:
    context = torch.tensor([[True, False, False, True]])
    drawn = mask_statistics(context, ~context[:, None], Grid(frames=4), 25.0)
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


@pytest.mark.parametrize("shape", [(6, 11), (3, 2, 11)])
def test_a_selection_turns_back_into_its_mask(shape: tuple[int, ...]) -> None:
    rng = _rng()
    masks: list[Callable[[], np.ndarray]] = [
        lambda: rng.random(shape) < 0.5,
        lambda: np.zeros(shape, dtype=bool),
        lambda: np.ones(shape, dtype=bool),
        lambda: np.arange(11) < rng.integers(0, 12, size=(*shape[:-1], 1)),
    ]
    for draw in masks:
        mask = torch.from_numpy(draw())
        assert torch.equal(mask_of(select(mask), 11), mask)


def test_gathered_tokens_are_those_of_the_row() -> None:
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    index = torch.tensor([[[3, 0], [1, 1]], [[2, 2], [0, 3]]])
    picked = gather_tokens(tokens, index)
    for row in range(2):
        for group in range(2):
            assert torch.equal(picked[row, group], tokens[row][index[row, group]])


@pytest.mark.parametrize(("frames", "span", "bands"), [(160, 2, 1), (160, 40, 1), (40, 5, 4)])
def test_exact_spans_hide_one_length_at_one_share(frames: int, span: int, bands: int) -> None:
    grid = Grid(frames=frames, bands=bands)
    masks = ExactSpans(span=span).sample(64, grid, _rng())
    assert set(hidden_runs(masks.context, grid).tolist()) == {span}
    assert masks.context.float().mean(1).unique().tolist() == [0.5]
    assert torch.equal(masks.targets[:, 0], ~masks.context)


def test_exact_spans_draw_every_arrangement_alike() -> None:
    grid, n = Grid(frames=6), 60_000
    masks = ExactSpans(span=2, share=0.6).sample(n, grid, _rng())
    drawn = Counter(tuple(row) for row in (~masks.context).int().tolist())
    # Two spans of two frames with a visible frame between them: 110110, 110011, 011011.
    assert set(drawn) == {(1, 1, 0, 1, 1, 0), (1, 1, 0, 0, 1, 1), (0, 1, 1, 0, 1, 1)}
    assert max(abs(count - n / 3) for count in drawn.values()) < 4 * (n * 2 / 9) ** 0.5


@pytest.mark.parametrize(("span", "share"), [(12, 0.5), (4, 0.9), (30, 0.5)])
def test_exact_spans_that_do_not_fit_are_refused(span: int, share: float) -> None:
    with pytest.raises(UserError, match="take shorter spans, a smaller share or longer crops"):
        ExactSpans(span=span, share=share).sample(1, Grid(frames=12), _rng())
