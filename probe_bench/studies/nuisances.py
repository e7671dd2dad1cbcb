"""What real encoders have beside the signal: noise, drift, position codes, dead and massive dimensions."""

from collections.abc import Callable

import torch
from torch import Tensor

from probe_bench.studies.made import Part

__all__ = ["drifting", "noisy", "with_massive_dimensions", "with_positions"]


def noisy(part: Part, snr_db: float, *, wandering: bool = False, seed: int = 0) -> Part:
    """Add noise of each clip's own, drawn from the tokens: the same sound has the same noise.

    Args:
        part: What it is added to.
        snr_db: Of standard deviations within clips.
        wandering: Sum it up over time, to a spectrum of 1/f².
        seed: Of the noise.
    """

    def make(x: Tensor) -> Tensor:
        return torch.stack([z + _noise(z, snr_db, seed, wandering=wandering) for z in part.make(x)])

    return Part(make, per_token=part.per_token, first=part.first)


def _noise(z: Tensor, snr_db: float, seed: int, *, wandering: bool) -> Tensor:
    rng = torch.Generator().manual_seed(seed + int(z.double().square().mean() * 1e8))
    noise = torch.randn(z.shape, generator=rng)
    if wandering:
        noise = noise.cumsum(0)
        noise = (noise - noise.mean(0)) / noise.std(0)
    scale = z.std(0).square().mean().sqrt() * 10 ** (-snr_db / 20)
    return scale * noise


def with_positions(part: Part, sigma: float = 6.0) -> Part:
    """Add a code to every position; 6 is twice the deviation of projected log-mel of speech."""
    return _added(part, lambda z, noise: z + sigma * noise)


def drifting(part: Part) -> Part:
    """Add a walk that is the same in all clips."""
    return _added(part, lambda z, noise: z + noise.cumsum(0))


def with_massive_dimensions(part: Part) -> Part:
    """Silence 60 of 128 dimensions and replace two by noise of great variance."""

    def change(z: Tensor, noise: Tensor) -> Tensor:
        alive, massive = torch.ones(z.shape[2]), torch.zeros(z.shape[2])
        alive[:62], massive[60:62] = 0, 1000.0
        return z * alive + massive * noise

    return _added(part, change)


def _added(part: Part, change: Callable[[Tensor, Tensor], Tensor]) -> Part:
    """Change tokens by noise that every clip has alike."""

    def make(x: Tensor) -> Tensor:
        z = part.make(x)
        rng = torch.Generator().manual_seed(5)
        return change(z, torch.randn(z.shape[1:], generator=rng))

    return Part(make, per_token=part.per_token, first=part.first)
