"""Layers of known cutoff: low-passes of log-mel inside whatever real encoders do to a signal.

They stand in the package, and not with the tests, because two things start from them: the tests, which
guard tolerances, and the data sheet (`benchmarks/modulation_validation.py`), which measures errors and
the coverage of intervals. Every function returns a `Part`; `cutoff_hz=None` is no filter.
"""

from collections.abc import Sequence
from fractions import Fraction

import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor
from torch.nn import functional

from probe_bench.modulation.lowpass import causal_low_pass, low_pass, mean_pool
from probe_bench.studies.made import FRAME_RATE_HZ, Part

__all__ = [
    "causal",
    "codebook",
    "hard_codes",
    "linear",
    "mixture",
    "normed",
    "out_of_perceptron",
    "passed",
    "patches",
    "pooled",
    "projected",
    "scaled",
    "soft_codes",
    "through_perceptron",
    "transformer",
]

_FAST = 0.9  # to 3 of slow: a tenth of the variance, by log-mel of speech below 8 and below 1.5 Hz


def passed(frames: Tensor, cutoff_hz: float | None) -> Tensor:
    """Low-pass without phase."""
    if cutoff_hz is None:
        return frames
    return low_pass(frames, float(FRAME_RATE_HZ), float(cutoff_hz))


def projected(frames: Tensor, dim: int = 128, seed: int = 0) -> Tensor:
    """Project at random."""
    rng = torch.Generator().manual_seed(seed)
    return frames @ torch.randn(frames.shape[-1], dim, generator=rng) / 8


def scaled(frames: Tensor) -> Tensor:
    """Log-mel of speech at about unit variance, by fixed numbers."""
    return (frames + 7) / 4


def linear(cutoff_hz: float | None, stride: int = 2, seed: int = 0) -> Part:
    """Filter and projection, nothing else."""

    def make(x: Tensor) -> Tensor:
        return projected(passed(x, cutoff_hz), seed=seed)[:, ::stride]

    return Part(make, per_token=stride)


def causal(cutoff_hz: float, stride: int = 2, seed: int = 0) -> Part:
    """Butterworth filter that looks back only."""

    def make(x: Tensor) -> Tensor:
        filtered = causal_low_pass(x, float(FRAME_RATE_HZ), float(cutoff_hz))
        return projected(filtered, seed=seed)[:, ::stride]

    return Part(make, per_token=stride)


def normed(cutoff_hz: float, stride: int = 2, seed: int = 0) -> Part:
    """Layer norm after filter and projection, at unit variance."""

    def make(x: Tensor) -> Tensor:
        z = projected(scaled(passed(x, cutoff_hz)), seed=seed)[:, ::stride]
        return functional.layer_norm(z, z.shape[2:])

    return Part(make, per_token=stride)


def pooled(n: int, seed: int = 0) -> Part:
    """Mean over `n` frames."""
    return Part(
        lambda x: projected(mean_pool(x, n), seed=seed), per_token=n, first=Fraction(n - 1, 2)
    )


def patches(cutoff_hz: float | None, n: int = 8, seed: int = 0) -> Part:
    """Tokens that hold `n` frames side by side."""

    def make(x: Tensor) -> Tensor:
        x = passed(x, cutoff_hz)
        whole = x[:, : x.shape[1] // n * n]
        return projected(whole.reshape(len(x), -1, n * 64), seed=seed)

    return Part(make, per_token=n, first=Fraction(n - 1, 2))


def _perceptron(frames: Tensor, seed: int) -> Tensor:
    """Random two-layer perceptron with layer norm."""
    rng = torch.Generator().manual_seed(1 + seed)
    first, second = (torch.randn(a, b, generator=rng) for a, b in ((64, 256), (256, 128)))
    hidden = functional.gelu(scaled(frames) @ first * 0.19) @ second / 16
    return functional.layer_norm(hidden, (128,))


def through_perceptron(cutoff_hz: float | None, stride: int = 2, seed: int = 0) -> Part:
    """Low-pass, then perceptron."""
    return Part(lambda x: _perceptron(passed(x, cutoff_hz), seed)[:, ::stride], per_token=stride)


def out_of_perceptron(cutoff_hz: float, stride: int = 2, seed: int = 0) -> Part:
    """Perceptron, then low-pass."""
    return Part(lambda x: passed(_perceptron(x, seed), cutoff_hz)[:, ::stride], per_token=stride)


def mixture(slow_hz: float, fast_hz: float, stride: int = 2, seed: int = 0) -> Part:
    """Nine tenths of the variance low-passed at one frequency, a tenth at another."""

    def make(x: Tensor) -> Tensor:
        slow = projected(passed(x, slow_hz), seed=seed + 3)
        fast = projected(passed(x, fast_hz), seed=seed)
        return (3 * slow + _FAST * fast)[:, ::stride]

    return Part(make, per_token=stride)


def codebook(speech: Sequence[Tensor], n_codes: int, seed: int = 0) -> Tensor:
    """Find codes for log-mel frames by k-means."""
    means = MiniBatchKMeans(n_codes, random_state=seed, n_init=1, batch_size=2048)
    return torch.from_numpy(means.fit(torch.cat(list(speech)).numpy()).cluster_centers_).float()


def hard_codes(cutoff_hz: float, codes: Tensor, stride: int = 2) -> Part:
    """One-hot vector quantisation."""

    def make(x: Tensor) -> Tensor:
        filtered = passed(x, cutoff_hz)[:, ::stride]
        nearest = torch.cdist(filtered, codes.expand(len(x), -1, -1)).argmin(-1)
        return functional.one_hot(nearest, len(codes)).float()

    return Part(make, per_token=stride)


def soft_codes(cutoff_hz: float, stride: int = 2, seed: int = 0, n_codes: int = 128) -> Part:
    """Soft assignment to random codes."""
    rng = torch.Generator().manual_seed(2 + seed)
    codes = torch.randn(n_codes, 64, generator=rng) * 0.5 + torch.randn(n_codes, 1, generator=rng)

    def make(x: Tensor) -> Tensor:
        filtered = scaled(passed(x, cutoff_hz)[:, ::stride])
        return torch.softmax(-2 * torch.cdist(filtered, codes.expand(len(x), -1, -1)), -1)

    return Part(make, per_token=stride)


def transformer(cutoff_hz: float | None, depth: int, stride: int = 2, seed: int = 0) -> Part:
    """Random blocks behind a low-pass."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        blocks = torch.nn.Sequential(
            *(
                torch.nn.TransformerEncoderLayer(
                    64, 4, 128, 0.0, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(depth)
            )
        ).eval()
    blocks.requires_grad_(False)
    return Part(lambda x: blocks(scaled(passed(x, cutoff_hz))[:, ::stride]), per_token=stride)
