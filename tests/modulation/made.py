"""Pseudo-encoders whose every layer is a function of 100 Hz log-mel frames, for tests of emphasis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor
from torch.nn import functional

from probe_bench.encoder import Encoder, Layer
from probe_bench.logmel import log_mel
from probe_bench.modulation.lowpass import causal_low_pass, low_pass, mean_pool

Frames = Callable[[Tensor], Tensor]  # batch frames 64 -> batch tokens dim


@dataclass(frozen=True)
class Part:
    """One layer: `per_token` frames of 10 ms a token, the first centred at `first` frames."""

    make: Frames
    per_token: int = 2
    first: Fraction = Fraction(0)


class MadeEncoder:
    """An encoder of made layers."""

    def __init__(self, parts: Mapping[str, Part], window_samples: int | None = None) -> None:
        self.name, self.fingerprint = "made", ""
        self.sample_rate_hz, self.n_parameters, self.min_samples = 16_000, 0, 400
        self.window_samples = window_samples
        self.n_encoded = 0
        self._parts = parts
        self.layers = tuple(
            Layer(
                name=name,
                dim=part.make(torch.zeros(1, 200, 64)).shape[2],
                depth=1.0,
                frame_rate_hz=Fraction(100, part.per_token),
                first_frame_s=Fraction(1, 80) + part.first / 100,
            )
            for name, part in parts.items()
        )

    def to(self, device: str) -> Encoder:
        return self

    def encode(self, waveform: Tensor) -> list[Tensor]:
        self.n_encoded += waveform.numel()
        frames = log_mel(waveform, 16_000, hop_samples=160, window_samples=400)
        return [part.make(frames) for part in self._parts.values()]


def passed(frames: Tensor, cutoff_hz: float) -> Tensor:
    return low_pass(frames, 100.0, float(cutoff_hz))


def projected(frames: Tensor, dim: int = 128, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return frames @ torch.randn(frames.shape[-1], dim, generator=rng) / 8


def linear(cutoff_hz: float, stride: int = 2) -> Part:
    def make(x: Tensor) -> Tensor:
        return projected(passed(x, cutoff_hz))[:, ::stride]

    return Part(make, per_token=stride)


def causal(cutoff_hz: float) -> Part:
    return Part(lambda x: projected(causal_low_pass(x, 100.0, float(cutoff_hz)))[:, ::2])


def pooled(n: int) -> Part:
    return Part(lambda x: projected(mean_pool(x, n)), per_token=n, first=Fraction(n - 1, 2))


def patches(cutoff_hz: float, n: int = 8) -> Part:
    """Tokens that hold `n` frames side by side."""

    def make(x: Tensor) -> Tensor:
        x = passed(x, cutoff_hz)
        whole = x[:, : x.shape[1] // n * n]
        return projected(whole.reshape(len(x), -1, n * 64))

    return Part(make, per_token=n, first=Fraction(n - 1, 2))


def scaled(frames: Tensor) -> Tensor:
    """Log-mel of speech at about unit variance, by fixed numbers."""
    return (frames + 7) / 4


def mlp(frames: Tensor) -> Tensor:
    """Random two-layer perceptron with layer norm."""
    rng = torch.Generator().manual_seed(1)
    first, second = (torch.randn(a, b, generator=rng) for a, b in ((64, 256), (256, 128)))
    hidden = functional.gelu(scaled(frames) @ first * 0.19) @ second / 16
    return functional.layer_norm(hidden, (128,))


def through_mlp(cutoff_hz: float | None) -> Part:
    """Low-pass, then perceptron; None for no low-pass."""

    def make(x: Tensor) -> Tensor:
        return mlp(x if cutoff_hz is None else passed(x, cutoff_hz))[:, ::2]

    return Part(make)


def mlp_first(cutoff_hz: float) -> Part:
    return Part(lambda x: passed(mlp(x), cutoff_hz)[:, ::2])


def mixture(slow_hz: float, fast_hz: float) -> Part:
    """Nine tenths of the variance low-passed at one frequency, a tenth at another."""

    def make(x: Tensor) -> Tensor:
        slow = projected(passed(x, slow_hz), seed=3)
        fast = projected(passed(x, fast_hz))
        return (3 * slow + _RATIO * fast)[:, ::2]

    return Part(make)


_RATIO = 0.9  # of the standard deviations of log-mel of speech below 1.5 and below 8 Hz


def hard_codes(cutoff_hz: float, speech: Sequence[Tensor], n_codes: int) -> Part:
    """One-hot vector quantisation by k-means."""
    means = MiniBatchKMeans(n_codes, random_state=0, n_init=1, batch_size=2048)
    codes = torch.from_numpy(means.fit(torch.cat(list(speech)).numpy()).cluster_centers_).float()

    def make(x: Tensor) -> Tensor:
        filtered = passed(x, cutoff_hz)[:, ::2]
        nearest = torch.cdist(filtered, codes.expand(len(x), -1, -1)).argmin(-1)
        return functional.one_hot(nearest, n_codes).float()

    return Part(make)


def soft_codes(cutoff_hz: float, n_codes: int = 128) -> Part:
    """Soft assignment to random codes."""
    rng = torch.Generator().manual_seed(2)
    codes = torch.randn(n_codes, 64, generator=rng) * 0.5 + torch.randn(n_codes, 1, generator=rng)

    def make(x: Tensor) -> Tensor:
        filtered = scaled(passed(x, cutoff_hz)[:, ::2])
        return torch.softmax(-2 * torch.cdist(filtered, codes.expand(len(x), -1, -1)), -1)

    return Part(make)


def added(kind: str, cutoff_hz: float) -> Part:
    """What real encoders have beside the signal."""

    def make(x: Tensor) -> Tensor:
        z = projected(passed(x, cutoff_hz))[:, ::2]
        rng = torch.Generator().manual_seed(5)
        noise = torch.randn(z.shape[1:], generator=rng)
        if kind == "position":
            return z + 6 * noise
        if kind == "drift":
            return z + noise.cumsum(0)
        alive, massive = torch.ones(128), torch.zeros(128)
        alive[:62], massive[60:62] = 0, 1000.0
        return z * alive + massive * noise

    return Part(make)


def transformer(cutoff_hz: float, depth: int) -> Part:
    """Random blocks behind a low-pass."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        blocks = torch.nn.Sequential(
            *(
                torch.nn.TransformerEncoderLayer(
                    64, 4, 128, 0.0, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(depth)
            )
        ).eval()
    return Part(lambda x: blocks(scaled(passed(x, cutoff_hz))[:, ::2]))
