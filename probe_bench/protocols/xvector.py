"""SUPERB's speaker embedding: a small x-vector network on a weighted sum of layers, and its loss.

Snyder et al. 2018, X-vectors; Wang et al. 2018, Additive margin softmax, eq. 6. Facts: s3prl ec8064b5,
`downstream/sv_voxceleb1/{model,expert}.py` and `configs/amsoftmax.yaml`.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from probe_bench.protocols.protocol import Sizes

__all__ = ["FEWEST_FRAMES", "XVector", "additive_margin_loss", "weights_a_frame"]

_WIDTH, _POOLED = 512, 1500
_CONTEXTS = (
    (5, 1),
    (3, 2),
    (3, 3),
    (1, 1),
    (1, 1),
)  # frames that a layer reads, and their distance
_SHORTER = sum((context - 1) * distance for context, distance in _CONTEXTS)
_MARGIN, _SCALE = 0.4, 30.0

FEWEST_FRAMES = _SHORTER + 2
"""Frames of a clip from which a standard deviation is left: 16."""


class XVector(nn.Module):
    """Weighted sum of layers, projection, five dilated layers over time, mean and deviation, two layers.

    In training it gives cosines to the training speakers, else the embedding before the second layer.

    Args:
        sizes: Layers, their dim, and training speakers (classes).
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(sizes.layers))
        self.projector = nn.Linear(sizes.dim, _WIDTH)
        widths = [_WIDTH] * len(_CONTEXTS) + [_POOLED]
        self.over_time = nn.ModuleList(
            nn.Conv1d(before, after, context, dilation=distance)
            for (before, after), (context, distance) in zip(
                pairwise(widths), _CONTEXTS, strict=True
            )
        )
        self.embed = nn.Linear(2 * _POOLED, _WIDTH)
        self.further = nn.Linear(_WIDTH, _WIDTH)
        self.speakers = nn.Parameter(nn.init.xavier_normal_(torch.empty(_WIDTH, sizes.classes)))

    def forward(
        self, frames: Float[Tensor, "batch frames layers dim"], n_frames: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch _"]:
        """Read clips that are padded at their ends; of each, `n_frames` (at least 16) are its own."""
        x = torch.einsum("btld,l->btd", frames, self.mix.softmax(0))
        x = self.projector(x).movedim(1, 2)
        for layer in self.over_time:
            x = relu(layer(x))
        own = torch.arange(x.shape[2], device=x.device) < (n_frames - _SHORTER).unsqueeze(1)
        embedding = relu(self.embed(_statistics(x, own)))
        if not self.training:
            return embedding
        unit = normalize(relu(self.further(embedding)), dim=1)
        return unit @ normalize(self.speakers, dim=0)


def _statistics(
    x: Float[Tensor, "batch channels frames"], own: Bool[Tensor, "batch frames"]
) -> Float[Tensor, "batch stats"]:
    """Mean and unbiased standard deviation over a clip's own frames, side by side."""
    mask = own.unsqueeze(1).to(x.dtype)
    n = mask.sum(2)
    mean = (x * mask).sum(2) / n
    deviation = (x - mean.unsqueeze(2)) * mask
    variance = deviation.square().sum(2) / (n - 1)
    # The slope of the root is infinite at 0, where a channel is silent: none is taken there.
    spread = torch.where(variance > 0, variance, 1.0).sqrt() * (variance > 0)
    return torch.cat([mean, spread], 1)


def additive_margin_loss(
    cosines: Float[Tensor, "*batch speakers"], speaker: Int[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Cross-entropy of scaled cosines, that of the true speaker lessened by the margin first.

        - log e^{s (cos_y - m)} / (e^{s (cos_y - m)} + sum_{j != y} e^{s cos_j}),   s = 30, m = 0.4

    Args:
        cosines: Between embeddings and the weights of the speakers.
        speaker: Whose each embedding is.
    """
    true = speaker.unsqueeze(-1)
    lessened = cosines.scatter_add(-1, true, torch.full_like(cosines, -_MARGIN))
    return -(_SCALE * lessened).log_softmax(-1).gather(-1, true).squeeze(-1)


def weights_a_frame(sizes: Sizes) -> int:
    """Count the weights that are applied to every frame."""
    with torch.device("meta"):
        head = XVector(sizes)
    parts: Sequence[nn.Module] = (head.projector, head.over_time)
    return sum(p.numel() for part in parts for p in part.parameters())
