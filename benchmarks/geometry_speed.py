"""Time the geometry analysis of 13 layers of 768 dimensions against plain numpy, layer by layer.

    python benchmarks/geometry_speed.py [MINUTES]

Ten minutes of 50 Hz frames by default, of forty speakers. The plain version does what a notebook does:
singular values of all frames for the rank, HSIC_1 of two n x n Gram matrices for every pair of layers.
Its Gram matrices cannot hold all frames, so it gets 2048 of them, and one pair of layers is timed for all.
Both run on the same threads; seconds are of the processor, for a machine that others use too.
"""

import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.geometry import compare, draw, measure

N_LAYERS, DIM, RATE_HZ, CLIP_S, N_SPEAKERS, PLAIN_FRAMES = 13, 768, 50, 3, 40, 2048
T = TypeVar("T")


class RandomFeatures:
    """Noise of falling variance, made once: later layers are noisier copies of the first."""

    encoder = "noise"
    layers = tuple(
        Layer(
            name="in" if i == 0 else f"L{i}",
            dim=DIM,
            depth=i / (N_LAYERS - 1),
            frame_rate_hz=Fraction(RATE_HZ),
            first_frame_s=Fraction(1, 100),
        )
        for i in range(N_LAYERS)
    )

    def __init__(self, n_clips: int) -> None:
        rng = torch.Generator().manual_seed(0)
        scale = torch.arange(1, DIM + 1) ** -0.5
        first = torch.randn(n_clips, CLIP_S * RATE_HZ, DIM, generator=rng) * scale
        self.held = [first.half()]
        for _ in range(1, N_LAYERS):
            noise = torch.randn(first.shape, generator=rng) * scale
            self.held.append((0.9 * self.held[-1].float() + 0.4 * noise).half())

    def pooled(self, layer: int) -> torch.Tensor:
        """Means and standard deviations of every clip."""
        x = self.held[layer].float()
        return torch.cat([x.mean(1), x.std(1)], 1)

    def n_frames(self, layer: int) -> torch.Tensor:
        """Frames of every clip."""
        return torch.full((len(self.held[layer]),), CLIP_S * RATE_HZ)

    def frames(self, layer: int, clips: Sequence[int]) -> list[torch.Tensor]:
        """Frames of some clips."""
        return [self.held[layer][i].float() for i in clips]


def main() -> None:
    """Print processor seconds of both and their ratio."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    n_clips = int(minutes * 60 / CLIP_S)
    features, corpus = RandomFeatures(n_clips), _corpus(n_clips)
    sample = draw(corpus, 0)
    pairs = N_LAYERS * (N_LAYERS - 1) // 2
    print(f"{n_clips} clips, {sample.time_s.numel()} frames of {n_clips * CLIP_S * RATE_HZ} read")
    own_s, visits = _timed(lambda: list(measure([features], [], sample, seed=0)))
    cka_s, _ = _timed(lambda: list(compare(visits, [("noise", "noise")], sample)))
    rank_s, _ = _timed(lambda: _plain_rank(features.held[0].flatten(0, 1)))
    one_s, _ = _timed(lambda: _plain_cka(*(features.held[i].flatten(0, 1) for i in (0, 1))))
    plain_s = N_LAYERS * rank_s + pairs * one_s
    print(f"{torch.get_num_threads()} threads; processor seconds of {N_LAYERS} x {DIM}")
    print(f"everything but CKA, with intervals {own_s:.1f}, CKA of {pairs} pairs {cka_s:.1f}")
    print(f"plain: ranks {N_LAYERS * rank_s:.1f}, CKA of {PLAIN_FRAMES} frames {pairs * one_s:.1f}")
    print(f"ratio {plain_s / (own_s + cka_s):.2f}, of CKA alone {pairs * one_s / cka_s:.1f}")


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def _plain_rank(frames: torch.Tensor) -> float:
    x = frames.numpy().astype(np.float64)
    singular = np.linalg.svd(x - x.mean(0), compute_uv=False)
    shares = singular / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _plain_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    step = max(1, len(x) // PLAIN_FRAMES)
    k, l = (  # noqa: E741
        a @ a.T for a in (z[::step][:PLAIN_FRAMES].numpy().astype(np.float64) for z in (x, y))
    )
    return _hsic(k, l) / float(np.sqrt(_hsic(k, k) * _hsic(l, l)))


def _hsic(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    k, l, n = k - np.diag(np.diag(k)), l - np.diag(np.diag(l)), len(k)  # noqa: E741
    cross = k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 * (k @ l).sum() / (n - 2)
    return float(((k * l).sum() + cross) / (n * (n - 3)))


def _corpus(n_clips: int) -> Corpus:
    clips = tuple(
        Clip(
            id=str(i),
            path=Path("none.wav"),
            duration_s=float(CLIP_S),
            labels={"speaker": str(i % N_SPEAKERS)},
        )
        for i in range(n_clips)
    )
    return Corpus(name="noise", clips=clips, licence="none", revision="1")


if __name__ == "__main__":
    main()
