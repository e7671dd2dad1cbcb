"""How exact the causal check is: what its filter does to log-mel, and how often its intervals hold the truth.

    python benchmarks/half_rates.py [--clips 20] [--simulations 400]

Filter: power of log-mel's modulations after over before, in dB, half an octave around half, once, twice
and four times each cutoff (wanted: 0, -3, -24, -48), summed over bands and stretches of 2.56 s.

Intervals: speakers of 20 to 59 units with a random effect of their own; units that are right by a latent
normal score, half of it shared by all cutoffs; a score that falls from .8 to a chance of .1 as a
logistic curve over octaves.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from probe_bench.audio import read
from probe_bench.bootstrap import cluster_weights
from probe_bench.cache import default_root
from probe_bench.corpora import load_corpus
from probe_bench.degradations import KINDS
from probe_bench.degradations.modulation import low_pass_modulations
from probe_bench.logmel import log_mel
from probe_bench.timescale import half_rate

CUTOFFS_HZ = KINDS["modulations"].severities
FRAMES, FRAME_HZ = 256, 100
LEAST_S = 2.6
CLEAN, CHANCE, ICC, SHARED = 0.8, 0.1, 0.2, 0.5


def modulations(path: Path, cutoff_hz: float, bands: int) -> Float[Tensor, "2 freqs"]:
    """Power of log-mel's modulations of one clip, before and after."""
    samples, rate_hz = read(path)
    powers = []
    for sound in (samples, low_pass_modulations(samples, rate_hz, cutoff_hz)):
        hop, window = rate_hz // FRAME_HZ, rate_hz // 40
        frames = log_mel(
            torch.from_numpy(sound), rate_hz, bands=bands, hop_samples=hop, window_samples=window
        )
        parts = (frames - frames.mean(0)).unfold(0, FRAMES, FRAMES // 2)
        parts = (parts - parts.mean(-1, keepdim=True)) * torch.hann_window(FRAMES)
        powers.append(torch.fft.rfft(parts).abs().square().sum((0, 1)))
    return torch.stack(powers)


def achieved_db(paths: Sequence[Path], cutoff_hz: float, bands: int) -> list[str]:
    """Attenuation around half, once, twice and four times a cutoff."""
    before, after = torch.stack([modulations(p, cutoff_hz, bands) for p in paths]).sum(0)
    mod_freq_hz = torch.arange(len(before)) * FRAME_HZ / FRAMES
    found = []
    for times in (0.5, 1, 2, 4):
        centre_hz = times * cutoff_hz
        near = (mod_freq_hz > centre_hz / 2**0.25) & (mod_freq_hz < centre_hz * 2**0.25)
        told = near.any() and centre_hz < FRAME_HZ / 2
        gain = float(after[near].sum() / before[near].sum()) if told else math.nan
        found.append(f"{10 * math.log10(gain):6.1f}" if told else "     -")
    return found


def simulated(
    rng: np.random.Generator, weights: Float[np.ndarray, "rows speakers"], half_hz: float
) -> Float[Tensor, "scores rows"]:
    """Clean score and those at every cutoff, of the sample and its resamples."""
    shares = 1 / (1 + (half_hz / np.array(CUTOFFS_HZ)) ** 1.5)
    threshold = stats.norm.ppf(CHANCE + (CLEAN - CHANCE) * np.array([1, *shares]))
    sizes = rng.integers(20, 60, weights.shape[1])
    hits = []
    for size in sizes:
        own = math.sqrt(SHARED) * rng.standard_normal(size)
        own = own + math.sqrt(1 - SHARED) * rng.standard_normal((len(threshold), size))
        latent = math.sqrt(ICC) * rng.standard_normal() + math.sqrt(1 - ICC) * own
        hits.append((latent < threshold[:, None]).sum(1))
    return torch.from_numpy(np.array(hits).T @ weights.T / (sizes @ weights.T))


def coverage(n_speakers: int, half_hz: float, n: int) -> float:
    """Share of simulations whose interval holds the truth."""
    rng = np.random.default_rng(0)
    names = [str(k) for k in range(n_speakers)]
    weights = cluster_weights(0, "", "", names, 1000).numpy()
    held = 0
    for _ in range(n):
        clean, *under = simulated(rng, weights, half_hz)
        found, _ = half_rate(torch.stack(under) - CHANCE, clean - CHANCE, CUTOFFS_HZ, n_speakers)
        held += (found.ci_low or 0.0) <= half_hz <= (found.ci_high or math.inf)
    return held / n


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--simulations", type=int, default=400)
    asked = parser.parse_args()
    for name in ("speech", "scenes"):
        corpus = load_corpus(name, default_root())
        long = [clip.path for clip in corpus if clip.duration_s > LEAST_S]
        paths = long[:: max(len(long) // asked.clips, 1)][: asked.clips]
        for bands in (64, 128):
            for cutoff_hz in CUTOFFS_HZ:
                print(
                    f"{name} {bands:3} bands {cutoff_hz:3g} Hz",
                    *achieved_db(paths, cutoff_hz, bands),
                )
    for n_speakers in (8, 16, 36):
        for half_hz in (1.2, 3.0, 5.5, 20.0):
            share = coverage(n_speakers, half_hz, asked.simulations)
            print(f"{n_speakers} speakers, half rate {half_hz:g} Hz: {share:.3f}")


if __name__ == "__main__":
    main()
