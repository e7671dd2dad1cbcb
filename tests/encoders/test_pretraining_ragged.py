"""Padding costs nothing and changes nothing: ragged blocks, the last block alone, gradient clipping."""

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from probe_bench.encoders.pretraining.blocks.transformer import Transformer, TransformerShape
from probe_bench.encoders.pretraining.data.batches import BatchMaker
from probe_bench.encoders.pretraining.jepa import Jepa
from probe_bench.encoders.pretraining.trainer import Trainer, build_model

from .micro import micro, wandering_tones

LENGTHS = (7, 1, 4)


def _stack(norm: str) -> Transformer:
    torch.manual_seed(0)
    return Transformer(TransformerShape(dim=16, depth=3, heads=2, norm=norm))  # type: ignore[arg-type]


def _padded() -> tuple[Tensor, Tensor]:
    tokens = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(1))
    return tokens, torch.arange(7) < torch.tensor(LENGTHS)[:, None]


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_padded_sequences_are_as_alone(norm: str) -> None:
    stack, (tokens, valid) = _stack(norm), _padded()
    outputs = stack(tokens, valid)
    for row, length in enumerate(LENGTHS):
        alone = stack(tokens[row : row + 1, :length])
        assert len(outputs) == len(alone) == 3
        for x, y in zip(outputs, alone, strict=True):
            torch.testing.assert_close(x[row, :length], y[0], rtol=1e-5, atol=1e-5)
            assert not x[row, length:].any()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_gradients_of_padded_sequences_are_as_alone(norm: str) -> None:
    stack, (tokens, valid) = _stack(norm), _padded()
    weights = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(2))
    together = torch.autograd.grad(
        (stack.last(tokens, valid) * weights).sum(), [*stack.blocks.parameters()]
    )
    alone = sum(
        (stack.last(tokens[row : row + 1, :n]) * weights[row, :n]).sum()
        for row, n in enumerate(LENGTHS)
    )
    assert isinstance(alone, Tensor)
    for x, y in zip(
        together, torch.autograd.grad(alone, [*stack.blocks.parameters()]), strict=True
    ):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


def test_what_stands_on_padding_changes_nothing() -> None:
    stack, (tokens, valid) = _stack("pre"), _padded()
    other = torch.where(valid[..., None], tokens, float("nan"))
    assert torch.equal(stack.last(tokens, valid), stack.last(other, valid))


@pytest.mark.parametrize("padded", [False, True])
def test_last_is_the_last_of_all(*, padded: bool) -> None:
    stack, (tokens, valid) = _stack("post"), _padded()
    mask = valid if padded else None
    assert torch.equal(stack.last(tokens, mask), stack(tokens, mask)[-1])


@pytest.mark.parametrize("limit", [None, 1e-3, 1e6])
def test_clipping_is_torchs_own(limit: float | None) -> None:
    optimiser = dataclasses.replace(micro("wavjepa").optimiser, clip_norm=limit)
    recipe = micro("wavjepa", optimiser=optimiser)
    trainer = Trainer.start(recipe, seed=0, device="cpu")
    for number, p in enumerate(trainer.model.parameters()):
        if p.requires_grad:
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(number))
    expected = copy.deepcopy(trainer.model)
    for p, q in zip(trainer.model.parameters(), expected.parameters(), strict=True):
        q.grad = None if p.grad is None else p.grad.clone()
    norm = nn.utils.clip_grad_norm_(
        [p for p in expected.parameters() if p.grad is not None], limit or float("inf")
    )
    assert torch.equal(trainer._clip(), norm)
    for p, q in zip(trainer.model.parameters(), expected.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        assert p.grad is None or (q.grad is not None and torch.equal(p.grad, q.grad))


@pytest.mark.parametrize("system", ["audio-jepa", "wavjepa"])
def test_the_teacher_hears_what_the_student_hears(system: str) -> None:
    recipe = micro(system)
    model = build_model(recipe, 0)
    assert isinstance(model, Jepa)
    batch = BatchMaker(recipe=recipe, source=wandering_tones(6), seed=0)(0)
    front = model.encoder.frontend
    features = front.features(batch.waveform)
    assert front.learns_features == features.requires_grad  # shared only where there is no weight
    tokens = model.encoder.tokens(features)
    own = model.teach(batch.waveform, tokens)
    shared = model.teach(batch.waveform, tokens, None if front.learns_features else features)
    assert all(torch.equal(x, y) for x, y in zip(own, shared, strict=True))
