"""Time the modulation analysis of six layers against reading the same frames once.

    python benchmarks/modulation_speed.py

Features are random projections of noise: the time does not depend on what the numbers are.
"""

import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
import torch

from probe_bench.corpus import Clip, Corpus
from probe_bench.encoder import Layer
from probe_bench.modulation import Reference, measure

N_CLIPS, N_SPEAKERS, DIM, RATE_HZ, N_LAYERS = 720, 48, 128, 100, 6


class RandomFeatures:
    """Noise in the shape of six layers of 128 dimensions at 100 Hz."""

    encoder = "noise"
    layers = tuple(
        Layer(
            name=f"L{i}",
            dim=DIM,
            depth=i / N_LAYERS,
            frame_rate_hz=Fraction(RATE_HZ),
            first_frame_s=Fraction(1, 80),
        )
        for i in range(1, N_LAYERS + 1)
    )

    def __init__(self, durations_s: list[float]) -> None:
        self.lengths = [int((d - 0.025) * RATE_HZ) + 1 for d in durations_s]

    def pooled(self, layer: int) -> torch.Tensor:
        """Means and standard deviations of noise."""
        return torch.zeros(len(self.lengths), 2 * DIM) + layer

    def n_frames(self, layer: int) -> torch.Tensor:  # noqa: ARG002
        """Frames of every clip."""
        return torch.tensor(self.lengths)

    def frames(self, layer: int, clips: list[int]) -> list[torch.Tensor]:
        """Noise, the same at every call."""
        rng = torch.Generator().manual_seed(layer)
        return [torch.randn(self.lengths[i], DIM, generator=rng) for i in clips]


def main() -> None:
    """Print seconds of each part."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        durations = rng.uniform(1.5, 3.5, N_CLIPS)
        clips = [_clip(Path(folder), i, float(d), rng) for i, d in enumerate(durations)]
        corpus = Corpus(name="noise", clips=tuple(clips), licence="none", revision="1")
        reference, features = Reference(corpus), RandomFeatures([c.duration_s for c in clips])
        print(
            f"{len(reference.clips)} clips, {reference.duration_s / 60:.1f} min, "
            f"{torch.get_num_threads()} threads"
        )
        start = time.perf_counter()
        for i in range(N_LAYERS):
            features.frames(i, reference.clips)
        read_s = time.perf_counter() - start
        start = time.perf_counter()
        reference.bands(features.layers[0])
        reference_s = time.perf_counter() - start
        start = time.perf_counter()
        measure(features, reference, seed=0)
        print(
            f"frames {read_s:.2f} s, log-mel reference {reference_s:.2f} s, "
            f"six layers {time.perf_counter() - start:.2f} s"
        )


def _clip(folder: Path, i: int, duration_s: float, rng: np.random.Generator) -> Clip:
    path = folder / f"{i}.wav"
    n = round(duration_s * 16_000)
    soundfile.write(path, 0.1 * rng.standard_normal(n), 16_000)
    return Clip(
        id=str(i), path=path, duration_s=n / 16_000, labels={"speaker": str(i % N_SPEAKERS)}
    )


if __name__ == "__main__":
    main()
