"""Linear CTC phone recogniser on frozen frames: one head a layer, all layers trained in one pass.

Each head is linear with log-softmax and CTC loss (Graves et
al. 2006); layers of equal size are stacked and trained together, each keeping the weights of its own
best epoch by phone error rate on validation clips. How much the blank is held back in decoding is
chosen on the same clips.

Start: a flat start, as in HMM training. Every training transcript is spread evenly over its clip
and a ridge regression on those labels (closed form) gives the first weights, which spares CTC the
long plateau on which it emits blanks only.

Frames faster than 50 Hz are averaged to at most 50 Hz: phones last 80 ms, and the cost of CTC grows
with the frame rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import ctc_loss, log_softmax, one_hot

from probe_bench.features import Features
from probe_bench.probes.adam import Adam
from probe_bench.probes.axes import principal_axes
from probe_bench.probes.decoding import BLANK, collapse, error_rate, settle_blank, spell
from probe_bench.probes.frames import frame_stride, strided_frames
from probe_bench.probes.ridge import fit_ridge
from probe_bench.probes.standardise import Standardiser, fit_standardiser

__all__ = ["CtcConfig", "CtcHead", "train_ctc"]


@dataclass(frozen=True, kw_only=True)
class CtcConfig:
    """Training of the CTC heads.

    Attributes:
        max_frame_rate_hz: Faster frames are averaged down to at most this.
        max_epochs: Passes over the training clips.
        patience: Stop when no layer improved for so many epochs.
        clips_per_step: Clips in a gradient step.
        lr: Peak learning rate of Adam on standardised features, falling linearly to 0.
        flat_start_l2: Ridge strength of the flat start.
    """

    max_frame_rate_hz: int = 50
    max_epochs: int = 8
    patience: int = 3
    clips_per_step: int = 8
    lr: float = 0.01
    flat_start_l2: float = 1.0


@dataclass(frozen=True, kw_only=True)
class CtcHead:
    """A trained head of one layer.

    Attributes:
        standardiser: Fitted on the training frames.
        weight: Weights.
        bias: Biases; row 0 is the blank.
        phones: Phone of each further row.
        stride: Frames averaged into one.
        held_back: What was taken from the bias of the blank.
        valid_per: Phone error rate on the validation clips.
    """

    standardiser: Standardiser
    weight: Float[Tensor, "rows dim"]
    bias: Float[Tensor, " rows"]
    phones: tuple[str, ...]
    stride: int
    held_back: float
    valid_per: float

    def scores(self, frames: Sequence[Float[Tensor, "_ dim"]]) -> list[Float[Tensor, "_ rows"]]:
        """Score the raw frames of each clip."""
        return [self.standardiser(x) @ self.weight.T + self.bias for x in frames]


@dataclass(frozen=True, kw_only=True)
class _Clips:
    """Clips of a stack of layers, zero-padded to the longest."""

    x: Float[Tensor, "layers clips frames dim"]
    n_frames: Int[Tensor, " clips"]
    transcripts: list[Int[Tensor, " _"]] = field(default_factory=list)


def train_ctc(
    features: Features,
    layers: Sequence[int],
    train: Sequence[int],
    valid: Sequence[int],
    sequences: Mapping[int, tuple[str, ...]],
    *,
    seed: int,
    config: CtcConfig,
) -> list[CtcHead]:
    """Train one head a layer.

    Args:
        features: Cached features.
        layers: Indices of layers of equal dim and frame rate.
        train: Training clips; their phones are what the heads know.
        valid: Validation clips.
        sequences: Phones of each clip.
        seed: Seed of the order of clips.
        config: Training.
    """
    phones = tuple(sorted({phone for clip in train for phone in sequences[clip]}))
    stride = frame_stride(features.layers[layers[0]], config.max_frame_rate_hz)
    standardisers = [
        fit_standardiser(torch.cat(strided_frames(features, layer, train, stride)))
        for layer in layers
    ]
    place = {phone: k + 1 for k, phone in enumerate(phones)}
    data = _pad(features, layers, standardisers, train, stride)
    data.transcripts.extend(torch.tensor([place[p] for p in sequences[c]]) for c in train)
    held_out = _pad(features, layers, standardisers, valid, stride)
    references = [" ".join(sequences[clip]) for clip in valid]
    start = _flat_start(data, len(phones) + 1, config.flat_start_l2)
    best, rates = _train(data, held_out, references, start, phones=phones, seed=seed, config=config)
    offsets, rates = settle_blank(
        lambda offset: _error_rates(
            _held_back(best, [offset] * len(layers)), held_out, references, phones
        ),
        rates,
    )
    best = _held_back(best, offsets)
    return [
        CtcHead(
            standardiser=standardiser,
            weight=best[k, :, :-1],
            bias=best[k, :, -1],
            phones=phones,
            stride=stride,
            held_back=offsets[k],
            valid_per=rates[k],
        )
        for k, standardiser in enumerate(standardisers)
    ]


def _pad(
    features: Features,
    layers: Sequence[int],
    standardisers: Sequence[Standardiser],
    clips: Sequence[int],
    stride: int,
) -> _Clips:
    stacked = []
    for layer, standardiser in zip(layers, standardisers, strict=True):
        frames = [standardiser(x) for x in strided_frames(features, layer, clips, stride)]
        stacked.append(torch.nn.utils.rnn.pad_sequence(frames, batch_first=True))
    n_frames = torch.tensor([len(x) for x in frames])
    return _Clips(x=torch.stack(stacked), n_frames=n_frames)


def _flat_start(data: _Clips, rows: int, l2: float) -> Float[Tensor, "layers rows columns"]:
    """Ridge regression on evenly spread transcripts, scaled to logits."""
    inside = _inside(data)
    labels = torch.cat(
        [
            transcript[torch.arange(n) * len(transcript) // n]
            if len(transcript)
            else torch.full((n,), BLANK)
            for transcript, n in zip(data.transcripts, data.n_frames.tolist(), strict=True)
        ]
    )
    targets = one_hot(labels, rows).double().to(data.x.device)
    weights = []
    for x in data.x:
        frames = x[inside]
        path = fit_ridge(principal_axes(frames), frames, targets, [l2])
        prior = targets.mean(0).clamp(min=1e-4)
        # Around the class prior, log p grows by dp / p.
        weight = path.weight[0] / prior[:, None]
        bias = prior.log()
        bias[BLANK] = -1.0
        weights.append(torch.cat([weight, bias[:, None]], 1))
    return torch.stack(weights).float()


def _inside(clips: _Clips) -> Bool[Tensor, "clips frames"]:
    steps = torch.arange(clips.x.shape[2])
    return (steps < clips.n_frames[:, None]).to(clips.x.device)


def _train(
    data: _Clips,
    held_out: _Clips,
    references: list[str],
    start: Float[Tensor, "layers rows columns"],
    *,
    phones: tuple[str, ...],
    seed: int,
    config: CtcConfig,
) -> tuple[Float[Tensor, "layers rows columns"], list[float]]:
    """Adam with a falling rate; returns each layer's best weights and their error rates."""
    weights = start.clone().requires_grad_()
    n_clips = len(data.n_frames)
    adam, done = Adam(start), 0
    n_steps = -(-n_clips // config.clips_per_step) * config.max_epochs
    generator = torch.Generator().manual_seed(seed)
    best, rates = start.clone(), _error_rates(start, held_out, references, phones)
    last_gain = 0
    for epoch in range(1, config.max_epochs + 1):
        for batch in _batches(n_clips, config.clips_per_step, generator):
            (gradient,) = torch.autograd.grad(_loss(weights, data, batch), weights)
            weights.data += adam.step(gradient, config.lr * (1 - done / n_steps))
            done += 1
        for k, rate in enumerate(_error_rates(weights.detach(), held_out, references, phones)):
            if rate < rates[k]:
                rates[k], best[k], last_gain = rate, weights.detach()[k], epoch
        if epoch - last_gain >= config.patience:
            break
    return best, rates


def _held_back(
    weights: Float[Tensor, "layers rows columns"], offsets: Sequence[float]
) -> Float[Tensor, "layers rows columns"]:
    """Take something from each layer's blank logit."""
    shifted = weights.clone()
    shifted[:, BLANK, -1] -= torch.tensor(offsets, device=weights.device)
    return shifted


def _batches(n: int, size: int, generator: torch.Generator) -> Sequence[Int[Tensor, " some"]]:
    return torch.split(torch.randperm(n, generator=generator), size)


def _scores(
    weights: Float[Tensor, "layers rows columns"], x: Float[Tensor, "layers clips frames dim"]
) -> Float[Tensor, "layers clips frames rows"]:
    scores = torch.einsum("lntd,lkd->lntk", x, weights[..., :-1])
    return scores + weights[:, None, None, :, -1]


def _loss(
    weights: Float[Tensor, "layers rows columns"], data: _Clips, batch: Int[Tensor, " some"]
) -> Float[Tensor, ""]:
    """Mean over clips of the CTC loss per phone, summed over layers (they share nothing)."""
    n_layers = len(weights)
    lengths = data.n_frames[batch]
    x = data.x[:, batch.to(data.x.device), : int(lengths.max())]
    log_p = log_softmax(_scores(weights, x), -1).flatten(0, 1).movedim(1, 0)
    transcripts = [data.transcripts[i] for i in batch.tolist()]
    sizes = torch.tensor([len(t) for t in transcripts])
    loss = ctc_loss(
        log_p,
        torch.cat(transcripts * n_layers).to(x.device),
        lengths.repeat(n_layers),
        sizes.repeat(n_layers),
        blank=BLANK,
        reduction="mean",
        zero_infinity=True,
    )
    return loss * n_layers


def _error_rates(
    weights: Float[Tensor, "layers rows columns"],
    clips: _Clips,
    references: list[str],
    phones: tuple[str, ...],
) -> list[float]:
    lengths = clips.n_frames.tolist()
    rates = []
    for k in range(len(weights)):
        winners = _scores(weights[k : k + 1], clips.x[k : k + 1])[0].argmax(-1).cpu()
        found = [spell(collapse(w[:n]), phones) for w, n in zip(winners, lengths, strict=True)]
        rates.append(error_rate(references, found))
    return rates
