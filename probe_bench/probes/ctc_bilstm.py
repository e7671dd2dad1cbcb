"""BiLSTM CTC phone recogniser on frozen frames: a small recurrent head a layer, one layer at a time.

    scores = linear CTC head (`ctc`) + BiLSTM,

trained together from the finished linear head and a silent BiLSTM. SUPERB's recognisers are LSTMs alone
(Yang et al. 2021); without the linear part, CTC spends its first thousand steps on emitting blanks
only (docs/LOG.md). Frames, phones and standardisation are the linear head's; epochs are chosen by phone
error rate on validation clips and the blank is settled there, as for the linear head.

Layers are trained one after the other: torch's LSTM on one layer at a time is many times as fast on a
CPU as one step of all layers after the other (docs/LOG.md), and memory holds one layer's frames.
Each direction reads clips that are padded behind their end, so that no clip depends on its
neighbours: for the way back, each clip is turned around within its own length.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import ctc_loss, log_softmax
from torch.nn.utils.rnn import pad_sequence

from probe_bench.features import Features
from probe_bench.probes.adam import Adam
from probe_bench.probes.ctc import CtcHead
from probe_bench.probes.decoding import BLANK, collapse, error_rate, settle_blank, spell
from probe_bench.probes.frames import strided_frames
from probe_bench.probes.standardise import Standardiser

__all__ = ["BiLstmConfig", "BiLstmHead", "train_bilstm"]


@dataclass(frozen=True, kw_only=True)
class BiLstmConfig:
    """Size and training of the BiLSTM CTC heads.

    Attributes:
        width: Units of each direction.
        epochs: Passes over the training clips at least.
        steps: Gradient steps at least, by more passes where clips are few.
        patience: Stop when the layer has not improved for this share of the passes.
        clips_per_step: Clips in a gradient step.
        lr: Peak learning rate of Adam, falling linearly to 0.
        max_norm: Longer gradients are shortened to this.
    """

    width: int = 64
    epochs: int = 10
    steps: int = 450
    patience: float = 0.3
    clips_per_step: int = 8
    lr: float = 0.01
    max_norm: float = 1.0


class _BiLstm(nn.Module):
    """A linear layer on the features, and one on a bidirectional layer beside it.

    Args:
        linear: Weights and biases to start from.
        width: Units of each direction.
        seed: Of the first weights of the LSTM: uniform in ±1 / sqrt(width), torch's own.
    """

    def __init__(self, linear: CtcHead, width: int, seed: int) -> None:
        super().__init__()
        rows, dim = linear.weight.shape
        with torch.device("meta"):  # draws nothing: torch's own start is from a global seed
            self.forth = nn.LSTM(dim, width, batch_first=True)
            self.back = nn.LSTM(dim, width, batch_first=True)
            self.read = nn.Linear(2 * width, rows, bias=False)
            self.linear = nn.Linear(dim, rows)
        self.to_empty(device="cpu")
        generator = torch.Generator().manual_seed(seed)
        for weight in (*self.forth.parameters(), *self.back.parameters()):
            drawn = torch.rand(weight.shape, generator=generator) * 2 - 1
            weight.data.copy_(drawn / math.sqrt(width))
        self.read.weight.data.zero_()
        self.linear.weight.data.copy_(linear.weight)
        self.linear.bias.data.copy_(linear.bias)
        self.linear.bias.data[BLANK] += linear.held_back  # as CTC left it

    def forward(
        self, x: Float[Tensor, "clips frames dim"], lengths: Int[Tensor, " clips"]
    ) -> Float[Tensor, "clips frames rows"]:
        """Score zero-padded clips."""
        turned = _turn(lengths, x.shape[1])
        forth, _ = self.forth(x)
        back, _ = self.back(_at(x, turned))
        scores: Tensor = self.linear(x) + self.read(torch.cat([forth, _at(back, turned)], 2))
        return scores


def _turn(lengths: Int[Tensor, " clips"], n_frames: int) -> Int[Tensor, "clips frames"]:
    """Indices that turn each clip around within its length and leave the padding where it is."""
    frames = torch.arange(n_frames, device=lengths.device)
    ends = lengths.unsqueeze(1)
    return torch.where(frames < ends, ends - 1 - frames, frames)


def _at(
    x: Float[Tensor, "clips frames dim"], index: Int[Tensor, "clips frames"]
) -> Float[Tensor, "clips frames dim"]:
    return x.gather(1, index.unsqueeze(2).expand_as(x))


@dataclass(frozen=True, kw_only=True)
class BiLstmHead:
    """A trained head of one layer.

    Attributes:
        standardiser: Fitted on the training frames.
        model: The network.
        phones: Phone of each row behind the blank.
        stride: Frames averaged into one.
        held_back: What was taken from the bias of the blank.
        valid_per: Phone error rate on the validation clips.
    """

    standardiser: Standardiser
    model: _BiLstm
    phones: tuple[str, ...]
    stride: int
    held_back: float
    valid_per: float

    def scores(self, frames: Sequence[Float[Tensor, "_ dim"]]) -> list[Float[Tensor, "_ rows"]]:
        """Score the raw frames of each clip."""
        return _score(self.model, [self.standardiser(x) for x in frames])


def train_bilstm(
    linear: CtcHead,
    features: Features,
    layer: int,
    train: Sequence[int],
    valid: Sequence[int],
    sequences: Mapping[int, tuple[str, ...]],
    *,
    seed: int,
    config: BiLstmConfig,
) -> BiLstmHead:
    """Train the head of one layer.

    Args:
        linear: Trained linear head of the layer.
        features: Cached features.
        layer: Index of the layer.
        train: Training clips, as the linear head had them.
        valid: Validation clips.
        sequences: Phones of each clip.
        seed: Of weights and order.
        config: Training.
    """
    place = {phone: k + 1 for k, phone in enumerate(linear.phones)}

    def read(clips: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        frames = strided_frames(features, layer, clips, linear.stride)
        return [linear.standardiser(x) for x in frames]

    data = _Data(
        frames=read(train),
        transcripts=[torch.tensor([place[phone] for phone in sequences[clip]]) for clip in train],
    )
    held_out = _HeldOut(
        frames=read(valid),
        references=[" ".join(sequences[clip]) for clip in valid],
        phones=linear.phones,
    )
    model = _BiLstm(linear, config.width, seed).to(linear.weight.device)
    rate = _train(model, data, held_out, seed=seed, config=config)
    (offset,), (rate,) = settle_blank(lambda offset: [held_out.rate(model, offset)], [rate])
    model.linear.bias.data[BLANK] -= offset
    return BiLstmHead(
        standardiser=linear.standardiser,
        model=model,
        phones=linear.phones,
        stride=linear.stride,
        held_back=offset,
        valid_per=rate,
    )


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Standardised training clips of one layer."""

    frames: list[Float[Tensor, "_ dim"]]
    transcripts: list[Int[Tensor, " _"]]


@dataclass(frozen=True, kw_only=True)
class _HeldOut:
    """Standardised validation clips of one layer."""

    frames: list[Float[Tensor, "_ dim"]]
    references: list[str]
    phones: tuple[str, ...]

    def rate(self, model: _BiLstm, offset: float = 0.0) -> float:
        """Phone error rate of greedy decoding, with something taken from the blank's logit."""
        found = []
        for scores in _score(model, self.frames):
            scores[:, BLANK] -= offset
            found.append(spell(collapse(scores.argmax(1)), self.phones))
        return error_rate(self.references, found)


@torch.no_grad()
def _score(
    model: _BiLstm, frames: Sequence[Float[Tensor, "_ dim"]], clips_at_once: int = 32
) -> list[Float[Tensor, "_ rows"]]:
    scores = []
    for first in range(0, len(frames), clips_at_once):
        block = frames[first : first + clips_at_once]
        padded, lengths = _padded(block)
        scores += [x[: len(own)] for x, own in zip(model(padded, lengths), block, strict=True)]
    return scores


def _padded(
    frames: Sequence[Float[Tensor, "_ dim"]],
) -> tuple[Float[Tensor, "clips frames dim"], Int[Tensor, " clips"]]:
    lengths = torch.tensor([len(x) for x in frames], device=frames[0].device)
    return pad_sequence(list(frames), batch_first=True), lengths


def _train(
    model: _BiLstm, data: _Data, held_out: _HeldOut, *, seed: int, config: BiLstmConfig
) -> float:
    """Leave the model at its best epoch and return its error rate."""
    weights = list(model.parameters())
    adams, done = [Adam(weight.data) for weight in weights], 0
    n_clips = len(data.frames)
    per_epoch = -(-n_clips // config.clips_per_step)
    n_epochs = max(config.epochs, -(-config.steps // per_epoch))
    generator = torch.Generator().manual_seed(seed)
    best, lowest, last_gain = [w.data.clone() for w in weights], held_out.rate(model), 0
    for epoch in range(1, n_epochs + 1):
        for batch in _batches(n_clips, config.clips_per_step, generator):
            gradients = torch.autograd.grad(_loss(model, data, batch), weights)
            shrink = _shrinkage(gradients, config.max_norm)
            lr = config.lr * (1 - done / (per_epoch * n_epochs))
            for weight, adam, gradient in zip(weights, adams, gradients, strict=True):
                weight.data += adam.step(gradient * shrink, lr)
            done += 1
        rate = held_out.rate(model)
        if rate < lowest:
            best, lowest, last_gain = [weight.data.clone() for weight in weights], rate, epoch
        if epoch - last_gain >= config.patience * n_epochs:
            break
    for weight, kept in zip(weights, best, strict=True):
        weight.data.copy_(kept)
    return lowest


def _batches(n: int, size: int, generator: torch.Generator) -> Iterator[list[int]]:
    order = torch.randperm(n, generator=generator).tolist()
    yield from (order[first : first + size] for first in range(0, n, size))


def _shrinkage(gradients: Sequence[Float[Tensor, "..."]], max_norm: float) -> Float[Tensor, ""]:
    """Return the factor that shortens the whole gradient to the longest allowed (Pascanu et al. 2013)."""
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    return (max_norm / norm).clamp(max=1.0)


def _loss(model: _BiLstm, data: _Data, batch: Sequence[int]) -> Float[Tensor, ""]:
    """Mean over clips of the CTC loss per phone."""
    x, lengths = _padded([data.frames[i] for i in batch])
    transcripts = [data.transcripts[i] for i in batch]
    return ctc_loss(
        log_softmax(model(x, lengths), 2).transpose(0, 1),
        torch.cat(transcripts).to(x.device),
        lengths.cpu(),
        torch.tensor([len(transcript) for transcript in transcripts]),
        blank=BLANK,
        reduction="mean",
        zero_infinity=True,
    )
