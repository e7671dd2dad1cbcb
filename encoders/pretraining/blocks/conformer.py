"""Conformer: attention and depthwise convolution in one block (Gulati et al., arXiv 2005.08100).

Own code rather than `torchaudio.models.conformer`: there the depthwise convolution and the group
norm read padded frames, so a clip's output would change with its neighbour's length, and activation
and norms cannot be chosen. Where those are the same, the outputs are the same (tested).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.blocks.stack import BlockStack
from probe_bench.encoders.pretraining.ranges import Count, Odd, Positive, Range, Ranged

__all__ = ["Conformer", "ConformerShape"]


@dataclass(frozen=True, kw_only=True)
class ConformerShape(Ranged):
    """Geometry of a Conformer; tokens are frames in order, one band, none left out.

    Attributes:
        dim: Width of the residual stream.
        depth: Blocks.
        heads: Attention heads.
        kernel: Frames that a depthwise convolution sees; odd.
        mlp_ratio: Hidden width of each of the two feed-forward layers over `dim`.
        dropout: Share of activations dropped in every branch while training.
        activation: Of the feed-forward layers; SiLU in the paper, GELU in density-adaptive JEPA.
        norm: Of the convolution: over the channels of a frame, or over channels and frames of a
            clip (a group norm with one group). Never over the batch, which would tie clips together.
        final_norm: Layer norm after the last block, whose output is layer-normed already.
    """

    dim: Count
    depth: Count
    heads: Count
    kernel: Annotated[Count, Odd()] = 31
    mlp_ratio: Positive = 4.0
    dropout: Annotated[float, Range(0, 0.99)] = 0.0
    activation: Literal["silu", "gelu"] = "silu"
    norm: Literal["frame", "clip"] = "frame"
    final_norm: bool = False
    in_order: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % self.heads:
            raise ValueError(f"dim is {self.dim}; expected a multiple of heads, {self.heads}")

    def build(self) -> "Conformer":
        """Make the module."""
        return Conformer(self)


class ClipNorm(nn.Module):
    """Normalise channels and frames of each clip together, padding left out."""

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Normalise `batch frames dim`."""
        if valid is None:
            normed = F.group_norm(x.transpose(1, 2), 1, self.weight, self.bias, self.eps)
            return normed.transpose(1, 2)
        keep, wide = valid[..., None], x.float()
        count = keep.sum((1, 2), keepdim=True) * x.shape[-1]
        mean = (wide * keep).sum((1, 2), keepdim=True) / count
        variance = ((wide - mean).square() * keep).sum((1, 2), keepdim=True) / count
        normed = (wide - mean) * (variance + self.eps).rsqrt()
        return (normed * self.weight + self.bias).to(x.dtype)


class FrameNorm(nn.LayerNorm):
    """Layer norm over channels; a frame needs no other frame, so padding is no matter."""

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Normalise `batch frames dim`."""
        return super().forward(x)


class ConvolutionModule(nn.Module):
    """Norm, gated 1x1, depthwise convolution, norm, SiLU, 1x1."""

    def __init__(self, shape: ConformerShape) -> None:
        super().__init__()
        norm, dim = ClipNorm if shape.norm == "clip" else FrameNorm, shape.dim
        self.norm_in, self.norm_out = norm(dim), norm(dim)
        self.gated = nn.Linear(dim, 2 * dim)
        self.depthwise = nn.Conv1d(dim, dim, shape.kernel, padding=shape.kernel // 2, groups=dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Convolve `batch frames dim`; a clip ends at its last valid frame as if by zero padding."""
        x = F.glu(self.gated(self.norm_in(x, valid)), dim=-1)
        if valid is not None:
            x = x.masked_fill(~valid[..., None], 0.0)
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return self.out(F.silu(self.norm_out(x, valid)))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Layer norm and two linear layers."""

    def __init__(self, shape: ConformerShape) -> None:
        super().__init__()
        hidden = int(shape.dim * shape.mlp_ratio)
        self.norm = nn.LayerNorm(shape.dim)
        self.fc1, self.fc2 = nn.Linear(shape.dim, hidden), nn.Linear(hidden, shape.dim)
        self.activation = nn.SiLU() if shape.activation == "silu" else nn.GELU()
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map every frame."""
        return self.fc2(self.dropout(self.activation(self.fc1(self.norm(x)))))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Layer norm and self-attention without positions: the convolutions tell the order."""

    def __init__(self, shape: ConformerShape) -> None:
        super().__init__()
        self.heads, self.dropout = shape.heads, shape.dropout
        self.norm = nn.LayerNorm(shape.dim)
        self.qkv = nn.Linear(shape.dim, 3 * shape.dim)
        self.out = nn.Linear(shape.dim, shape.dim)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Attend over `batch frames dim`."""
        qkv = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mask = None if valid is None else valid[:, None, None, :]
        drop = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, mask, dropout_p=drop)
        return self.out(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class ConformerBlock(nn.Module):
    """Half a feed-forward step, attention, convolution, half a step more, layer norm."""

    def __init__(self, shape: ConformerShape) -> None:
        super().__init__()
        self.feed1, self.feed2 = FeedForward(shape), FeedForward(shape)
        self.attention = Attention(shape)
        self.convolution = ConvolutionModule(shape)
        self.norm = nn.LayerNorm(shape.dim)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Apply the block."""
        x = x + 0.5 * self.dropout(self.feed1(x))
        x = x + self.dropout(self.attention(x, valid))
        x = x + self.dropout(self.convolution(x, valid))
        x = x + 0.5 * self.dropout(self.feed2(x))
        return self.norm(x)  # type: ignore[no-any-return]


class Conformer(BlockStack):
    """Stack of blocks; weights start truncated-normal (std 0.02) with zero bias."""

    def __init__(self, shape: ConformerShape) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConformerBlock(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.dim) if shape.final_norm else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None = None,
    ) -> list[Float[Tensor, "batch tokens dim"]]:
        """Return the output of every block, before the final norm.

        Args:
            tokens: Frames in order.
            valid: False on padding, which nothing else reads; None if nothing is padded.
        """
        outputs = []
        for block in self.blocks:
            tokens = block(tokens, valid)
            outputs.append(tokens)
        return outputs
