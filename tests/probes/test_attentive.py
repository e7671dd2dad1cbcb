"""Attentive probes: a loop over clips and frames, and frames that mean pooling dilutes."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from probe_bench.encoder import Layer
from probe_bench.probes.attentive import (
    AttentiveConfig,
    attentive_scores,
    read_block,
    train_attentive,
)
from probe_bench.probes.frames import ClipFrames, frame_standardiser
from probe_bench.probes.heads import best_head, grid
from probe_bench.probes.judging import Judge
from probe_bench.probes.standardise import Standardiser, fit_standardiser

DIM = 8


class Hidden:
    """Clips of noise; on the second layer one frame among many tells the class."""

    encoder = "hidden"

    def __init__(self, n_clips: int, *, frames: tuple[int, int] = (60, 100)) -> None:
        g = torch.Generator().manual_seed(0)
        self.layers = tuple(
            Layer(
                name=name,
                dim=DIM,
                depth=depth,
                frame_rate_hz=Fraction(25),
                first_frame_s=Fraction(0),
            )
            for name, depth in (("in", 0.0), ("L1", 1.0))
        )
        self.targets = torch.randint(0, 2, (n_clips,), generator=g)
        lengths = torch.randint(*frames, (n_clips,), generator=g).tolist()
        self._frames = [[torch.randn(n, DIM, generator=g) for n in lengths] for _ in range(2)]
        for x, target, n in zip(self._frames[1], self.targets.tolist(), lengths, strict=True):
            where = int(torch.randint(0, n, (1,), generator=g))
            x[where, 0] = 8.0  # the mark ...
            x[where, 1] = 4.0 * (2 * target - 1)  # ... beside which the class stands

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        return [self._frames[layer][i] for i in clips]

    def n_frames(self, layer: int) -> Tensor:
        return torch.tensor([len(x) for x in self._frames[layer]])

    def pooled(self, layer: int) -> Tensor:
        return torch.stack([torch.cat([x.mean(0), x.std(0)]) for x in self._frames[layer]])


def plain(dim: int = DIM) -> Standardiser:
    return Standardiser(mean=torch.zeros(dim), scale=torch.ones(dim))


def test_scores_are_those_of_a_loop_over_heads_clips_and_frames() -> None:
    features = Hidden(5, frames=(3, 9))
    g = torch.Generator().manual_seed(1)
    layer = torch.tensor([0, 0, 1])
    queries, weight, bias = (
        torch.randn(3, 2, DIM, generator=g),
        torch.randn(3, 2 * DIM, 4, generator=g),
        torch.randn(3, 4, generator=g),
    )
    block = read_block(ClipFrames(features, [0, 1], [plain(), plain()], stride=1), range(5))
    found = attentive_scores((queries, weight, bias), block, layer)
    for head, on in enumerate(layer.tolist()):
        for clip, x in enumerate(features.frames(on, range(5))):
            pooled = []
            for query in queries[head]:
                raw = [math.exp(float(query @ frame) / math.sqrt(DIM)) for frame in x]
                pooled.append(sum(a / sum(raw) * frame for a, frame in zip(raw, x, strict=True)))
            wanted = torch.cat(pooled) @ weight[head] + bias[head]
            torch.testing.assert_close(found[head, clip], wanted, rtol=1e-4, atol=1e-5)


def test_a_clip_scores_alike_alone_and_beside_longer_ones() -> None:
    features = Hidden(4, frames=(3, 50))
    g = torch.Generator().manual_seed(1)
    head = (
        torch.randn(1, 2, DIM, generator=g),
        torch.randn(1, 2 * DIM, 3, generator=g),
        torch.randn(1, 3, generator=g),
    )
    only = torch.zeros(1, dtype=torch.long)
    own = frame_standardiser(features, 0, range(4), 1)
    frames = ClipFrames(features, [0], [own], stride=1, keep_bytes=20 * 4 * DIM)  # not all of them
    together = attentive_scores(head, read_block(frames, range(4)), only)
    for clip in range(4):
        alone = attentive_scores(head, read_block(frames, [clip]), only)
        torch.testing.assert_close(together[:, clip], alone[:, 0], rtol=1e-4, atol=1e-5)


def test_the_frame_is_found_that_mean_pooling_dilutes() -> None:
    features = Hidden(320)
    train, valid = np.arange(240), np.arange(240, 320)
    targets = features.targets
    judge = Judge(metric="accuracy", targets=targets[240:].numpy(), n_classes=2)
    own = [frame_standardiser(features, k, train.tolist(), 1) for k in (0, 1)]
    config = AttentiveConfig(settings=grid(lr=(0.03, 0.01)), max_epochs=25, patience=25)
    trained = train_attentive(
        ClipFrames(features, (0, 1), own, stride=1, keep_bytes=1 << 25),
        2,
        DIM,
        train,
        targets[:240],
        judge,
        valid,
        seed=0,
        config=config,
    )
    noise, marked = (best_head(trained, config.settings, k).value for k in (0, 1))
    assert marked > 0.95
    assert noise < 0.7
    pooled = features.pooled(1)[:, :DIM]
    linear = LogisticRegression().fit(pooled[:240], targets[:240])
    assert linear.score(pooled[240:], targets[240:]) < 0.75


@pytest.mark.parametrize("stride", [1, 3])
def test_frames_are_standardised_block_by_block_as_at_once(stride: int) -> None:
    features = Hidden(150, frames=(3, 9))
    for x in features._frames[0]:
        x.add_(1e3)
        x[:, 2] = 5.0  # says nothing
    found = frame_standardiser(features, 0, range(150), stride)
    groups = [x.split(stride) for x in features.frames(0, range(150))]
    wanted = fit_standardiser(torch.stack([part.mean(0) for x in groups for part in x]))
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.scale, wanted.scale, rtol=1e-4, atol=1e-6)
    assert found.scale[2] == 0
