"""Transformer of the encoder and the predictor: pre- or post-norm blocks, every output returned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float
from torch import Tensor, nn

from probe_bench.encoders.pretraining.blocks.stack import BlockStack
from probe_bench.encoders.pretraining.masking.masks import Grid
from probe_bench.encoders.pretraining.ranges import Count, Positive, Range, Ranged

__all__ = ["Transformer", "TransformerShape", "sincos_positions"]


@dataclass(frozen=True, kw_only=True)
class TransformerShape(Ranged):
    """Geometry of a transformer.

    Attributes:
        dim: Width of the residual stream.
        depth: Blocks.
        heads: Attention heads.
        mlp_ratio: Hidden width of the feed-forward layer over `dim`.
        norm: Layer norm before (ViT) or after (WavJEPA) each residual branch.
        norm_eps: Epsilon of the norms in the blocks.
        final_norm: Norm after the last block.
        key_drop: Share of tokens, drawn for every block and clip, that no token may attend to in
            training (A-JEPA's regularised masking, arXiv 2311.15830).
    """

    dim: Count
    depth: Count
    heads: Count
    mlp_ratio: Positive = 4.0
    norm: Literal["pre", "post"] = "pre"
    norm_eps: Positive = 1e-5
    final_norm: bool = True
    key_drop: Annotated[float, Range(0, 0.99)] = 0.0
    in_order: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % self.heads:
            raise ValueError(f"dim is {self.dim}; expected a multiple of heads, {self.heads}")

    def build(self) -> "Transformer":
        """Make the module."""
        return Transformer(self)


class Ragged:
    """Sequences of unequal length as one list of rows, so that padding costs nothing but attention.

    Attributes:
        valid: False on padding.
    """

    def __init__(self, valid: Bool[Tensor, "batch tokens"]) -> None:
        self.valid = valid
        self._index = valid.flatten().nonzero()[:, 0]

    def rows(self, padded: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "rows dim"]:
        """Leave the padding out."""
        return padded.flatten(0, 1).index_select(0, self._index)

    def pad(self, rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Put every row back in its place, zeros elsewhere."""
        blank = rows.new_zeros(self.valid.numel(), rows.shape[1])
        return blank.index_copy(0, self._index, rows).view(*self.valid.shape, rows.shape[1])


class Block(nn.Module):
    """Self-attention and feed-forward layer with residuals."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        hidden = int(shape.dim * shape.mlp_ratio)
        self.heads, self.post = shape.heads, shape.norm == "post"
        self.norm1 = nn.LayerNorm(shape.dim, eps=shape.norm_eps)
        self.qkv = nn.Linear(shape.dim, 3 * shape.dim)
        self.out = nn.Linear(shape.dim, shape.dim)
        self.norm2 = nn.LayerNorm(shape.dim, eps=shape.norm_eps)
        self.fc1 = nn.Linear(shape.dim, hidden)
        self.fc2 = nn.Linear(hidden, shape.dim)

    def forward(self, x: Tensor, mask: Tensor | None, ragged: Ragged | None = None) -> Tensor:
        """Apply the block.

        Args:
            x: `batch tokens dim`, or the rows of `ragged`.
            mask: True on keys that may be attended to.
            ragged: Where the rows stand.
        """
        if self.post:
            x = self.norm1(x + self._attend(x, mask, ragged))
            return self.norm2(x + self._feed(x))  # type: ignore[no-any-return]
        x = x + self._attend(self.norm1(x), mask, ragged)
        return x + self._feed(self.norm2(x))

    def _attend(self, x: Tensor, mask: Tensor | None, ragged: Ragged | None) -> Tensor:
        qkv = self.qkv(x) if ragged is None else ragged.pad(self.qkv(x))
        batch, tokens, _ = qkv.shape
        query, key, value = qkv.view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = _attention(query, key, value, mask).transpose(1, 2).flatten(2)
        return self.out(attended if ragged is None else ragged.rows(attended))  # type: ignore[no-any-return]

    def _feed(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention over `batch heads tokens dim`."""
    if query.is_cuda or query.dtype == torch.float32:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    # The CPU's fused kernel goes backward three times slower in bfloat16 than plain products do.
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    attended: Tensor = scores.softmax(-1) @ value
    return attended


class Transformer(BlockStack):
    """Stack of blocks; linear layers start Xavier-uniform with zero bias."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.key_drop = shape.key_drop
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.dim) if shape.final_norm else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None = None,
    ) -> list[Float[Tensor, "batch tokens dim"]]:
        """Return the output of every block, before the final norm.

        Args:
            tokens: Input of the first block, positions included.
            valid: False on padding, which no token attends to.
        """
        if valid is not None:
            ragged = Ragged(valid)
            return [ragged.pad(rows) for rows in self._rows(ragged.rows(tokens), ragged)]
        outputs = []
        for block in self.blocks:
            tokens = block(tokens, self._keys(tokens, None))
            outputs.append(tokens)
        return outputs

    def last(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """Return the last block's output; zeros on padding."""
        if valid is None:
            return super().last(tokens)
        ragged = Ragged(valid)
        *_, rows = self._rows(ragged.rows(tokens), ragged)
        return ragged.pad(rows)

    def _rows(self, rows: Tensor, ragged: Ragged) -> Iterator[Tensor]:
        """Yield every block's output on the rows that are no padding."""
        for block in self.blocks:
            rows = block(rows, self._keys(ragged.valid, ragged.valid), ragged)
            yield rows

    def _keys(self, like: Tensor, valid: Tensor | None) -> Tensor | None:
        """Mask of the keys that a block may attend to, `batch 1 1 tokens`, or None for all.

        `like` begins with the axes batch and tokens.
        """
        if self.training and self.key_drop:
            kept = torch.rand(like.shape[:2], device=like.device) >= self.key_drop
            whole = torch.ones_like(kept) if valid is None else valid
            # A clip that would lose every key keeps them all: no attention can be empty.
            valid = torch.where((kept & whole).any(1, keepdim=True), kept & whole, whole)
        return None if valid is None else valid[:, None, None, :]


def sincos_positions(grid: Grid, dim: int) -> Float[Tensor, "tokens dim"]:
    """Fixed sine-cosine positions; on a 2-D grid half of the dims code time, half frequency.

    Time-major, so the table of a shorter crop is the beginning of a longer one's.
    """
    time = torch.arange(grid.frames).repeat_interleave(grid.bands)
    if grid.bands == 1:
        return _sincos(time, dim)
    band = torch.arange(grid.bands).repeat(grid.frames)
    return torch.cat([_sincos(time, dim // 2), _sincos(band, dim // 2)], dim=1)


def _sincos(position: Tensor, dim: int) -> Tensor:
    rates = 10_000.0 ** (-torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    angles = position[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
