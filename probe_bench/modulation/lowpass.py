"""Pseudo-encoders with a known cutoff: they calibrate every estimator of this package.

Each function acts on frames (log-mel bands or any features) along time; its true half-power
frequency is known in closed form.
"""

import torch
from jaxtyping import Float
from scipy.signal import butter, sosfilt
from torch import Tensor

__all__ = ["causal_low_pass", "low_pass", "mean_pool", "mean_pool_cutoff_hz"]


def low_pass(
    frames: Float[Tensor, "*batch frames dim"],
    frame_rate_hz: float,
    cutoff_hz: float,
    *,
    order: int = 4,
) -> Float[Tensor, "*batch frames dim"]:
    """Low-pass without phase: gain `(1 + (f / cutoff_hz)^(2 order))^(-1/2)`, half power at the cutoff.

    Edges are mirrored, so a clip's own level goes on beyond its ends.

    Args:
        frames: Frames along the second-last axis.
        frame_rate_hz: Frames per second.
        cutoff_hz: Frequency where the power gain is one half.
        order: Order of the Butterworth magnitude.
    """
    n = frames.shape[-2]
    mirrored = torch.cat([frames, frames.flip(-2)], dim=-2)
    freqs = torch.fft.rfftfreq(2 * n, 1 / frame_rate_hz, device=frames.device)
    gain = (1 + (freqs / cutoff_hz) ** (2 * order)).rsqrt()[:, None]
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(mirrored, dim=-2) * gain, n=2 * n, dim=-2)
    return filtered[..., :n, :].to(frames.dtype)


def causal_low_pass(
    frames: Float[Tensor, "*batch frames dim"],
    frame_rate_hz: float,
    cutoff_hz: float,
    *,
    order: int = 4,
) -> Float[Tensor, "*batch frames dim"]:
    """Low-pass by a causal Butterworth filter that starts settled at the first frame's value."""
    sections = butter(order, cutoff_hz, fs=frame_rate_hz, output="sos")
    rest = frames[..., :1, :]
    filtered = sosfilt(sections, (frames - rest).double().cpu().numpy(), axis=-2)
    settled: Tensor = rest + torch.from_numpy(filtered).to(frames)
    return settled


def mean_pool(
    frames: Float[Tensor, "*batch frames dim"], n: int
) -> Float[Tensor, "*batch pooled dim"]:
    """Average every `n` frames; a rest shorter than `n` is dropped."""
    whole = frames.shape[-2] // n * n
    pieces = frames[..., :whole, :].unfold(-2, n, n)
    return pieces.mean(-1)


def mean_pool_cutoff_hz(pool_s: float) -> float:
    """Half-power frequency of a mean over `pool_s` seconds.

    `sinc(f T)^2 = 1/2` at `f T = 0.4429`.
    """
    return 0.4429 / pool_s
