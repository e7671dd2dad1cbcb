"""The Conformer against torchaudio's, and its independence of padding and neighbours."""

import dataclasses
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torchaudio.models.conformer import ConformerLayer

from probe_bench.encoders.pretraining.blocks.conformer import (
    Conformer,
    ConformerBlock,
    ConformerShape,
)

SHAPE = ConformerShape(dim=24, depth=2, heads=3, kernel=5)


def _randomise(module: nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.fixture(params=["frame", "clip"])
def conformer(request: pytest.FixtureRequest) -> Conformer:
    model = Conformer(dataclasses.replace(SHAPE, norm=request.param))
    _randomise(model)
    return model.eval()


class _OverTime(nn.Module):
    """A norm of `batch frames dim` applied to `batch dim frames`, or the other way."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return out


def _as_torchaudio(block: ConformerBlock, norm: str) -> ConformerLayer:
    """Copy the weights into torchaudio's layer; its two convolution norms become ours."""
    layer = ConformerLayer(24, 96, 3, 5, use_group_norm=True)
    if norm == "clip":
        layer.conv_module.layer_norm = _OverTime(nn.GroupNorm(1, 24))
    else:
        layer.conv_module.sequential[3] = _OverTime(nn.LayerNorm(24))
    first = layer.conv_module.layer_norm.norm if norm == "clip" else layer.conv_module.layer_norm
    second = layer.conv_module.sequential[3]
    conv = block.convolution
    pairs: list[tuple[nn.Module, nn.Module]] = [
        (layer.self_attn_layer_norm, block.attention.norm),
        (layer.self_attn.out_proj, block.attention.out),
        (first, conv.norm_in),
        (layer.conv_module.sequential[2], conv.depthwise),
        (second if norm == "clip" else second.norm, conv.norm_out),
        (layer.final_layer_norm, block.norm),
    ]
    for half, feed in ((layer.ffn1.sequential, block.feed1), (layer.ffn2.sequential, block.feed2)):
        pairs += [(half[0], feed.norm), (half[1], feed.fc1), (half[4], feed.fc2)]
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(block.attention.qkv.weight)
        layer.self_attn.in_proj_bias.copy_(block.attention.qkv.bias)
        for number, linear in ((0, conv.gated), (5, conv.out)):
            layer.conv_module.sequential[number].weight.copy_(linear.weight[..., None])
            layer.conv_module.sequential[number].bias.copy_(linear.bias)
    return layer.eval()


@pytest.mark.parametrize("norm", ["frame", "clip"])
def test_a_block_equals_torchaudios(norm: Literal["frame", "clip"]) -> None:
    model = Conformer(dataclasses.replace(SHAPE, norm=norm)).eval()
    _randomise(model)
    tokens = torch.randn(3, 11, 24, generator=torch.Generator().manual_seed(1))
    expected = tokens.transpose(0, 1)
    for block in model.blocks:
        assert isinstance(block, ConformerBlock)
        expected = _as_torchaudio(block, norm)(expected, None)
    outputs = model(tokens)
    assert len(outputs) == 2
    torch.testing.assert_close(outputs[-1], expected.transpose(0, 1), atol=1e-4, rtol=1e-4)


def test_a_clip_is_the_same_alone_in_a_batch_and_beside_a_longer_one(conformer: Conformer) -> None:
    tokens = torch.randn(2, 9, 24, generator=torch.Generator().manual_seed(2))
    tokens[0, 6:] = 1e3
    valid = torch.arange(9) < torch.tensor([[6], [9]])
    alone = conformer(tokens[:1, :6])
    for padded, short in zip(conformer(tokens, valid), alone, strict=True):
        torch.testing.assert_close(padded[:1, :6], short, atol=1e-4, rtol=1e-4)
    for batched, long in zip(conformer(tokens, valid), conformer(tokens[1:]), strict=True):
        torch.testing.assert_close(batched[1:], long, atol=1e-4, rtol=1e-4)


def test_torchaudios_layer_would_read_the_padding() -> None:
    layer = ConformerLayer(24, 96, 3, 5, use_group_norm=True).eval()
    tokens = torch.randn(9, 1, 24, generator=torch.Generator().manual_seed(2))
    padding = (torch.arange(9) >= 6)[None]
    difference = layer(tokens, padding)[:6] - layer(tokens[:6], None)
    assert difference.abs().max() > 1e-2


def test_every_parameter_learns_and_order_matters(conformer: Conformer) -> None:
    tokens = torch.randn(2, 9, 24, generator=torch.Generator().manual_seed(3))
    output = conformer(tokens)[-1]
    (output * torch.randn(2, 9, 24)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in conformer.parameters())
    turned = conformer(tokens.flip(1))[-1].flip(1)
    assert (turned - output).abs().max() > 1e-2


def test_dropout_acts_only_in_training_and_the_final_norm_is_optional() -> None:
    model = Conformer(dataclasses.replace(SHAPE, dropout=0.5, final_norm=True))
    tokens = torch.randn(2, 9, 24, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(model(tokens)[-1], model(tokens)[-1])
    model.eval()
    torch.testing.assert_close(model(tokens)[-1], model(tokens)[-1])
    assert isinstance(model.norm, nn.LayerNorm)
    assert isinstance(Conformer(SHAPE).norm, nn.Identity)


def test_parameters_of_the_published_encoder_conformers() -> None:
    shape = ConformerShape(dim=128, depth=8, heads=16, activation="gelu", norm="clip")
    assert sum(p.numel() for p in Conformer(shape).parameters()) == 3_077_120


@pytest.mark.parametrize("change", [{"heads": 5}, {"kernel": 4}])
def test_shapes_that_cannot_be_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(
        ValueError, match=r"multiple of heads, 5|kernel is 4; expected an odd number"
    ):
        dataclasses.replace(SHAPE, **change)  # type: ignore[arg-type]
