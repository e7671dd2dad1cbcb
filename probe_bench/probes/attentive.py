"""Attentive probes of clips: learnt queries pool the frames, a linear layer reads what they found.

The cross-attention probe of V-JEPA (Bardes et al. 2024) and AIM (El-Nouby et al. 2024) in its simplest
form, after Psomas et al. 2025 ("Attention, please!", efficient probing): with one learnt query a head,
q·(W_k x) = (W_kᵀ q)·x, so the key projection goes into the query, and the value projection goes into
the linear layer that follows it. What is left is, for the heads h of one probe,

    a_h(t) = softmax over t of u_h·x_t / sqrt(dim),   scores = W [Σ_t a_h(t) x_t]_h + b.

All layers and settings read each block of clips once; frames are padded within a block only, and beyond
a fixed budget they are read anew, so memory does not grow with the number of clips. Frames faster than `max_frame_rate_hz` are averaged.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from probe_bench.probes.frames import ClipFrames
from probe_bench.probes.heads import Parameters, Setting, Trained, first_weights, grid, train_heads
from probe_bench.probes.judging import Judge, classification_losses

__all__ = ["AttentiveConfig", "Block", "attentive_scores", "read_block", "train_attentive"]

_QUERY_STD = 0.02  # V-JEPA's; close to mean pooling


@dataclass(frozen=True, kw_only=True)
class AttentiveConfig:
    """Architecture, settings and training of the attentive probes.

    Attributes:
        queries: Attention heads of a probe; each pools the frames by its own query.
        settings: What is tried on every layer; of equally good ones the first is kept.
        max_frame_rate_hz: Faster frames are averaged down to at most this.
        max_epochs: Passes over the training clips.
        patience: A probe stops when it has not improved for so many epochs.
        clips_per_step: Clips in a gradient step.
    """

    queries: int = 4
    settings: tuple[Setting, ...] = field(
        default_factory=lambda: grid(lr=(1e-2, 3.2e-3), weight_decay=(0.0, 1.0))
    )
    max_frame_rate_hz: int = 25
    max_epochs: int = 30
    patience: int = 5
    clips_per_step: int = 32


@dataclass(frozen=True, kw_only=True)
class Block:
    """Standardised frames of some clips on a stack of layers, zero-padded to the longest clip."""

    x: Float[Tensor, "layers clips frames dim"]
    inside: Bool[Tensor, "clips frames"]


def read_block(frames: ClipFrames, clips: Sequence[int]) -> Block:
    """Pad the frames of some clips."""
    read = [frames(clip) for clip in clips]
    lengths = torch.tensor([x.shape[1] for x in read], device=read[0].device)
    n_layers, _, dim = read[0].shape
    block = read[0].new_zeros(n_layers, len(read), int(lengths.max()), dim)
    for row, x in enumerate(read):
        block[:, row, : x.shape[1]] = x
    inside = torch.arange(block.shape[2], device=block.device) < lengths.unsqueeze(1)
    return Block(x=block, inside=inside)


def attentive_scores(
    parameters: Parameters, block: Block, layer: Int[Tensor, " heads"]
) -> Float[Tensor, "heads clips classes"]:
    """Score clips by every head on its own layer of the block; `layer` ascends."""
    queries, weight, bias = parameters
    own, counts = torch.unique_consecutive(layer, return_counts=True)
    parts = torch.split(queries, counts.tolist())
    pooled = [
        _pool(part, block.x[k], block.inside) for part, k in zip(parts, own.tolist(), strict=True)
    ]
    return torch.baddbmm(bias.unsqueeze(1), torch.cat(pooled), weight)


def _pool(
    queries: Float[Tensor, "heads queries dim"],
    x: Float[Tensor, "clips frames dim"],
    inside: Bool[Tensor, "clips frames"],
) -> Float[Tensor, "heads clips pooled"]:
    """Pool the frames of one layer by the queries of all heads that read it, side by side."""
    heads, n_queries, dim = queries.shape
    logits = x @ queries.flatten(0, 1).T / math.sqrt(dim)
    attention = logits.masked_fill(~inside.unsqueeze(2), -math.inf).softmax(1)
    pooled = attention.mT @ x
    return pooled.view(len(x), heads, n_queries * dim).transpose(0, 1)


def train_attentive(
    frames: ClipFrames,
    n_layers: int,
    dim: int,
    train: Int[np.ndarray, " clips"],
    targets: Shaped[Tensor, "clips ..."],
    judge: Judge,
    valid: Int[np.ndarray, " held_out"],
    *,
    seed: int,
    config: AttentiveConfig,
) -> Trained:
    """Train heads `layers x settings`, settings fastest.

    Args:
        frames: Standardised frames of all clips on the layers.
        n_layers: How many layers that are.
        dim: Their dimensions.
        train: Training clips.
        targets: Class indices or membership of the training clips.
        judge: Judges scores of the validation clips.
        valid: Validation clips.
        seed: Of weights and order.
        config: Settings and training.
    """
    problem = _Problem(
        frames=frames, train=train, targets=targets, valid=valid, judge=judge, config=config
    )
    n_heads = n_layers * len(config.settings)
    generator = torch.Generator().manual_seed(seed)
    queries = _QUERY_STD * torch.randn(config.queries, dim, generator=generator)
    width = config.queries * dim
    start = (
        queries.expand(n_heads, -1, -1).clone(),
        first_weights(n_heads, (width, judge.n_classes), width, generator),
        first_weights(n_heads, (judge.n_classes,), width, generator),
    )
    return train_heads(
        problem,
        tuple(tensor.to(targets.device) for tensor in start),
        config.settings * n_layers,
        seed=seed,
        max_epochs=config.max_epochs,
        patience=config.patience,
    )


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """The clips of a stack of layers, read block by block."""

    frames: ClipFrames
    train: Int[np.ndarray, " clips"]
    targets: Shaped[Tensor, "clips ..."]
    valid: Int[np.ndarray, " held_out"]
    judge: Judge
    config: AttentiveConfig

    def batches(self, generator: torch.Generator) -> Iterator[Int[Tensor, " batch"]]:
        order = torch.randperm(len(self.train), generator=generator)
        yield from torch.split(order, self.config.clips_per_step)

    def losses(
        self,
        parameters: Parameters,
        heads: Int[Tensor, " heads"],
        batch: Int[Tensor, " batch"],
    ) -> Float[Tensor, " heads"]:
        scores = self._scores(parameters, heads, self.train[batch.numpy()])
        return classification_losses(scores, self.targets[batch.to(self.targets.device)])

    def _scores(
        self, parameters: Parameters, heads: Int[Tensor, " heads"], clips: Int[np.ndarray, " some"]
    ) -> Float[Tensor, "heads some classes"]:
        block = read_block(self.frames, clips.tolist())
        return attentive_scores(parameters, block, heads // len(self.config.settings))

    def values(self, parameters: Parameters, heads: Int[Tensor, " heads"]) -> list[float]:
        starts = range(self.config.clips_per_step, len(self.valid), self.config.clips_per_step)
        parts = [
            self.judge.predict(self._scores(parameters, heads, clips))
            for clips in np.split(self.valid, list(starts))
        ]
        return self.judge.values(np.concatenate(parts, axis=1))
