"""Features with planted label information of known size in known layers: the answer is known.

K equally frequent classes; a layer of signal a has its class means at a times orthonormal directions under
unit Gaussian noise in every dimension. The score of class k, u_k, the feature's part along its
direction, is N(a, 1) for the true class and N(0, 1) for the others, so the Bayes rate is

    P(correct) = ∫ φ(z - a) Φ(z)^(K-1) dz,

and the information that a unit has about its label, in bits,

    I = log2 K - E log2 Σ_k exp(a (u_k - u_y)).

The Bayes classifier is linear (scores a u_k), so a logistic probe reaches both as train grows. Noise is
shared in part within a recording: units of one recording err together, as in real corpora, while each
of them alone is distributed as said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import integrate, stats
from torch import Tensor

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.splits import Fold
from probe_bench.task import Measure, Task

__all__ = ["TASK", "Planted", "bayes_rate", "information_bits", "plant"]

TASK = Task(
    name="planted",
    summary="classes of known Bayes rate",
    label="class",
    unit="clip",
    disjoint=("recording",),
    cluster="recording",
    measures=(Measure(probe="logistic", metrics=("accuracy",)),),
    corpus="planted",
)

_DRAWS = 200_000


def bayes_rate(signal: float, n_classes: int) -> float:
    """Accuracy of the best classifier."""

    def density(z: float) -> float:
        return float(stats.norm.pdf(z - signal) * stats.norm.cdf(z) ** (n_classes - 1))

    return float(integrate.quad(density, -9, 9 + signal, epsabs=1e-10)[0])


def information_bits(signal: float, n_classes: int) -> float:
    """Information about the label, by Monte Carlo to about 2 per mille of a bit."""
    u = np.random.default_rng(0).standard_normal((_DRAWS, n_classes))
    u[:, 0] += signal
    lost = np.log2(np.exp(signal * (u - u[:, :1])).sum(1))
    return float(np.log2(n_classes) - lost.mean())


@dataclass(kw_only=True, eq=False)  # a `Features`, whose attributes may be set
class Planted:
    """A corpus, one division of it, and the features of every layer.

    Attributes:
        corpus: Clips without audio.
        folds: One division by whole recordings.
        layers: One a signal.
        directions: Orthonormal class directions of each layer.
        signals: Planted signal of each layer.
        x: Features of each layer.
    """

    encoder: str = "planted"
    corpus: Corpus
    folds: tuple[Fold, ...]
    layers: tuple[Layer, ...]
    directions: Float[Tensor, "layers classes dim"]
    signals: tuple[float, ...]
    x: Float[Tensor, "layers clips dim"]

    def pooled(self, layer: int) -> Float[Tensor, "clips dim"]:
        """Return the features of all clips."""
        return self.x[layer]

    def n_frames(self, layer: int) -> Int[Tensor, " clips"]:
        """One frame a clip."""
        return torch.ones_like(self.x[layer][:, 0], dtype=torch.long)

    def frames(self, layer: int, clips: Sequence[int]) -> list[Float[Tensor, "one dim"]]:
        """The same features, as one frame."""
        return [self.x[layer][clip : clip + 1] for clip in clips]


def plant(
    signals: Sequence[float],
    sizes: tuple[int, int, int],
    *,
    n_classes: int = 8,
    dim: int = 32,
    per_recording: int = 4,
    shared: float = 0.3,
    seed: int = 0,
) -> Planted:
    """Draw a corpus and its features.

    Args:
        signals: Of the layers, in order of depth.
        sizes: Clips of train, valid and test.
        n_classes: Equally frequent classes.
        dim: Even number of dimensions of a layer's pooled features, at least `n_classes`.
        per_recording: Clips of one recording.
        shared: Share of the noise's variance that a recording's clips have in common.
        seed: Of everything that is drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    labels = torch.randint(n_classes, (n,), generator=generator)
    recording = torch.arange(n) // per_recording
    draw = torch.randn(len(signals), dim, dim, generator=generator, dtype=torch.float64)
    directions = torch.linalg.qr(draw)[0][:, :n_classes]
    common = torch.randn(len(signals), int(recording[-1]) + 1, dim, generator=generator)
    own = torch.randn(len(signals), n, dim, generator=generator)
    noise = shared**0.5 * common[:, recording] + (1 - shared) ** 0.5 * own
    strength = torch.tensor(signals, dtype=torch.float64)[:, None, None]
    x = (strength * directions[:, labels] + noise).float()
    clips = tuple(
        Clip(
            id=f"{i:06d}",
            path=Path(f"{i}.wav"),
            duration_s=1.0,
            labels={"class": f"c{labels[i]}", "recording": f"r{recording[i]:06d}"},
        )
        for i in range(n)
    )
    edges = np.cumsum((0, *sizes)).tolist()
    train, valid, test = (tuple(range(start, stop)) for start, stop in pairwise(edges))
    return Planted(
        corpus=Corpus(name="planted", clips=clips, licence="CC0", revision=str(seed)),
        folds=(Fold(train=train, valid=valid, test=test),),
        layers=tuple(
            Layer(
                name=f"L{k}",
                dim=dim // 2,
                depth=k / max(1, len(signals) - 1),
                frame_rate_hz=Fraction(1),
                first_frame_s=Fraction(1, 2),
            )
            for k in range(len(signals))
        ),
        directions=directions,
        signals=tuple(signals),
        x=x,
    )
