"""Losses of the decoder: magnitudes at several resolutions, least-squares GAN, feature matching."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "STFT_WINDOWS",
    "adversarial_loss",
    "discriminator_loss",
    "feature_matching",
    "stft_distance",
]

STFT_WINDOWS = (2048, 1024, 512, 256, 128)
"""Window lengths in samples of the published code; each hops by a quarter."""

_FLOOR = 1e-5  # keeps the logarithm of an empty bin finite


def stft_distance(
    decoded: Float[Tensor, "batch samples"],
    original: Float[Tensor, "batch samples"],
    windows: Sequence[int] = STFT_WINDOWS,
) -> Float[Tensor, ""]:
    """L1 distance of magnitudes plus that of their logarithms, averaged over window lengths.

    Windows longer than the waveform are left out.
    """
    fitting = [window for window in windows if window <= decoded.shape[-1]]
    terms = []
    for window in fitting:
        ours, theirs = _magnitudes(decoded, window), _magnitudes(original, window)
        terms.append(F.l1_loss(ours, theirs))
        terms.append(F.l1_loss((ours + _FLOOR).log(), (theirs + _FLOOR).log()))
    return torch.stack(terms).sum() / len(fitting)


def _magnitudes(waveform: Tensor, window: int) -> Tensor:
    hann = torch.hann_window(window, device=waveform.device)
    spectrum = torch.stft(
        waveform.float(), window, hop_length=window // 4, window=hann, return_complex=True
    )
    return spectrum.abs()


def adversarial_loss(decoded: Sequence[Sequence[Tensor]]) -> Float[Tensor, ""]:
    """Generator's least-squares loss: mean of (score - 1)^2, summed over discriminators."""
    return torch.stack([(layers[-1] - 1).square().mean() for layers in decoded]).sum()


def discriminator_loss(
    original: Sequence[Sequence[Tensor]], decoded: Sequence[Sequence[Tensor]]
) -> Float[Tensor, ""]:
    """Least-squares loss: originals should score 1, decoded waveforms 0."""
    real = adversarial_loss(original)
    return real + torch.stack([layers[-1].square().mean() for layers in decoded]).sum()


def feature_matching(
    original: Sequence[Sequence[Tensor]], decoded: Sequence[Sequence[Tensor]]
) -> Float[Tensor, ""]:
    """Twice the L1 distance of every layer's output (score maps too), summed over all."""
    terms = [
        F.l1_loss(ours, theirs.detach())
        for of_decoded, of_original in zip(decoded, original, strict=True)
        for ours, theirs in zip(of_decoded, of_original, strict=True)
    ]
    return 2 * torch.stack(terms).sum()
