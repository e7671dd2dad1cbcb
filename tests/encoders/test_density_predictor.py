"""The convolutional predictor: what it puts where, and what it may see."""

import numpy as np
import torch

from probe_bench.encoders.density_jepa.predictor import ConvPredictor, ConvPredictorShape
from probe_bench.encoders.density_jepa.spans import DensitySpanMasks
from probe_bench.encoders.pretraining.masking.masks import Grid, select

GRID = Grid(frames=10)


def _predictor() -> ConvPredictor:
    torch.manual_seed(0)
    predictor = ConvPredictorShape(heads=2, kernel=5).build_predictor(GRID, 8)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    return predictor.eval()


def _mask(*rows: str) -> torch.Tensor:
    return torch.tensor([[letter == "x" for letter in row] for row in rows])


def test_visible_frames_stand_in_their_places_and_mask_tokens_elsewhere() -> None:
    predictor = _predictor()
    visible = _mask("xx....xxx.", "x......x..")
    tokens = torch.randn(2, 10, 8)
    context = select(visible)
    encoded = tokens.gather(1, context.index[..., None].expand(-1, -1, 8))
    expected = torch.where(visible[..., None], tokens, predictor.mask_token)
    torch.testing.assert_close(predictor.fill(encoded, context), expected)


def test_rows_are_the_targets_in_order() -> None:
    predictor = _predictor()
    visible, groups = _mask("xx....xxx.", "xxx...x..."), _mask("..x.......", "...xx.....")
    targets = torch.stack([torch.stack([groups[0], groups[1]]), torch.stack([groups[1]] * 2)])
    context, chosen = select(visible), select(targets)
    tokens = torch.randn(2, 10, 8)
    encoded = tokens.gather(1, context.index[..., None].expand(-1, -1, 8))
    rows = predictor(encoded, context, chosen)
    everything = select(torch.ones(2, 1, 10, dtype=torch.bool))
    whole = predictor(encoded, context, everything).view(2, 10, 8)
    expected = [
        whole[b, t] for b in range(2) for g in range(2) for t in range(10) if targets[b, g, t]
    ]
    torch.testing.assert_close(rows, torch.stack(expected))


def test_hidden_frames_are_not_seen_and_clips_are_independent() -> None:
    predictor = _predictor()
    masks = DensitySpanMasks(max_span=3).sample(3, GRID, np.random.default_rng(0))
    context, targets = select(masks.context), select(masks.targets)
    tokens = torch.randn(3, 10, 8, requires_grad=True)
    encoded = tokens.gather(1, context.index[..., None].expand(-1, -1, 8))
    assert targets.valid is not None
    first = int(targets.valid[0].sum())
    predictor(encoded, context, targets)[:first].sum().backward()
    assert tokens.grad is not None
    used = tokens.grad.abs().sum(-1) > 0
    torch.testing.assert_close(used[0], masks.context[0])
    assert not used[1:].any()


def test_published_parameter_count() -> None:
    with torch.device("meta"):
        predictor = ConvPredictorShape().build_predictor(Grid(frames=37), 128)
    # 3.2 M in the paper: 3 177 600 in its code, where the mask token is counted apart.
    assert sum(p.numel() for p in predictor.parameters()) == 3_177_600 + 128
