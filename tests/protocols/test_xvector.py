"""SUPERB's speaker embedding against plain loops, its loss against the formula, its size against s3prl's."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from probe_bench.protocols.protocol import Sizes
from probe_bench.protocols.xvector import (
    FEWEST_FRAMES,
    XVector,
    additive_margin_loss,
    weights_a_frame,
)

SIZES = Sizes(layers=3, dim=6, classes=4)
FRAMES = (23, 16, 31)


@pytest.fixture
def head() -> XVector:
    torch.manual_seed(0)
    head = XVector(SIZES)
    head.mix.data = torch.randn(SIZES.layers)
    return head


def clip(frames: int) -> Tensor:
    return torch.randn(frames, SIZES.layers, SIZES.dim, generator=torch.Generator().manual_seed(1))


def by_hand(head: XVector, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Embedding of one clip and its cosines to the speakers, frame by frame."""
    share = head.mix.exp() / head.mix.exp().sum()
    x = sum(share[k] * frames[:, k] for k in range(SIZES.layers))
    x = x @ head.projector.weight.T + head.projector.bias
    offsets = ((-2, -1, 0, 1, 2), (-2, 0, 2), (-3, 0, 3), (0,), (0,))
    for layer, around in zip(head.over_time, offsets, strict=True):
        reach, heard = max(around), []
        for t in range(reach, len(x) - reach):
            terms = [layer.weight[:, :, k] @ x[t + offset] for k, offset in enumerate(around)]
            heard.append((sum(terms) + layer.bias).clamp(min=0))
        x = torch.stack(heard)
    spread = ((x - x.mean(0)) ** 2).sum(0).div(len(x) - 1).sqrt()
    embedding = (head.embed.weight @ torch.cat([x.mean(0), spread]) + head.embed.bias).clamp(min=0)
    further = (head.further.weight @ embedding + head.further.bias).clamp(min=0)
    cosines = [further @ w / (further.norm() * w.norm()) for w in head.speakers.unbind(1)]
    return embedding, torch.stack(cosines)


def test_padded_clips_are_read_as_each_alone_frame_by_frame(head: XVector) -> None:
    clips = [clip(n) for n in FRAMES]
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=9.0)
    lengths = torch.tensor(FRAMES)
    with torch.no_grad():
        cosines, embedded = head.train()(padded, lengths), head.eval()(padded, lengths)
        expected = [by_hand(head, each) for each in clips]
    torch.testing.assert_close(
        embedded, torch.stack([e for e, _ in expected]), rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(cosines, torch.stack([c for _, c in expected]), rtol=1e-4, atol=1e-6)


def test_silent_channels_and_the_shortest_clip_have_finite_gradients(head: XVector) -> None:
    for layer in head.over_time:
        layer.bias.data[::2] = -100.0
    cosines = head(clip(FEWEST_FRAMES)[None], torch.tensor([FEWEST_FRAMES]))
    cosines.sum().backward()
    gradients = [p.grad for p in head.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert FEWEST_FRAMES == 16


def test_size_is_that_of_s3prl() -> None:
    """Counted on s3prl's own modules at ec8064b5: 13 layers of 768, the 1,211 speakers of VoxCeleb1."""
    sizes = Sizes(layers=13, dim=768, classes=1211)
    weights_and_projector, embedding, loss = 13 + 393_728, 5_716_444, 620_032
    assert sum(p.numel() for p in XVector(sizes).parameters()) == (
        weights_and_projector + embedding + loss
    )
    after_pooling = 3000 * 512 + 512 + 512 * 512 + 512
    assert weights_a_frame(sizes) == 393_728 + embedding - after_pooling


def test_loss_is_its_formula() -> None:
    g = torch.Generator().manual_seed(2)
    embedded = normalize(torch.randn(2, 3, 5, generator=g), dim=-1)
    weights = normalize(torch.randn(5, 4, generator=g), dim=0)
    speaker, cosines = torch.tensor([[3, 0, 2], [1, 1, 3]]), embedded @ weights
    found = additive_margin_loss(cosines, speaker)
    for head in range(2):
        for unit in range(3):
            row, y = cosines[head, unit].tolist(), int(speaker[head, unit])
            true = math.exp(30 * (row[y] - 0.4))
            others = sum(math.exp(30 * c) for k, c in enumerate(row) if k != y)
            assert found[head, unit].item() == pytest.approx(
                -math.log(true / (true + others)), rel=1e-4
            )
