"""Ripples: slow modulations of known rate and phase, imposed on natural sound in pairs of opposite sign.

Every clip x becomes x·e^{+m} and x·e^{-m} in the short-time Fourier domain, with

    m(t, F) = A sum_k sin(2π (f_k t + Ω_k log2 F) + φ_k)

All tones f_k sound at once. Their phases are drawn anew for every clip, so that whatever a
representation does at f_k with another phase averages out over clips. Spectral densities Ω take turns
over tones and clips: 0 is plain amplitude modulation, which normalising the level can remove.

Source: Chi et al. 1999, 10.1121/1.428100 (ripples); Elliott and Theunissen 2009,
10.1371/journal.pcbi.1000302 (modulations of natural speech).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["AMPLITUDE", "DENSITIES", "Ripples", "draw_ripples", "impose"]

AMPLITUDE = 0.08
"""Of each tone, in units of the natural log of amplitude (0.7 dB)."""

DENSITIES = (0.0, 0.5, 1.0)
"""Cycles per octave."""

_WINDOW_S = 0.016
_HOP_S = 0.004


@dataclass(frozen=True, kw_only=True, eq=False)
class Ripples:
    """What is imposed on some clips.

    Attributes:
        mod_freq_hz: Modulation frequency of every tone.
        density: Spectral density in cycles per octave.
        phase: Phase at time 0 and 1 Hz in radians.
    """

    mod_freq_hz: Float[Tensor, " tones"]
    density: Float[Tensor, "clips tones"]
    phase: Float[Tensor, "clips tones"]

    def part(self, clips: slice) -> "Ripples":
        """Return the ripples of some clips."""
        return Ripples(
            mod_freq_hz=self.mod_freq_hz, density=self.density[clips], phase=self.phase[clips]
        )


def draw_ripples(mod_freq_hz: Float[Tensor, " tones"], n_clips: int, seed: int) -> Ripples:
    """Draw phases for every clip and tone; densities go round."""
    n_tones = len(mod_freq_hz)
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (n_clips, n_tones))
    turn = (torch.arange(n_clips)[:, None] + torch.arange(n_tones)) % len(DENSITIES)
    return Ripples(
        mod_freq_hz=mod_freq_hz.double(),
        density=torch.tensor(DENSITIES, dtype=torch.float64)[turn],
        phase=torch.from_numpy(phase),
    )


def impose(
    waveform: Float[Tensor, "clips samples"],
    sample_rate_hz: int,
    ripples: Ripples,
    amplitude: float = AMPLITUDE,
) -> tuple[Float[Tensor, "clips samples"], Float[Tensor, "clips samples"]]:
    """Impose ripples with either sign.

    Windows of 16 ms every 4 ms, so a modulation of 32 Hz still arrives with 0.8 of its amplitude; what
    is lost is lost to every representation alike.

    Args:
        waveform: Clips of at least 16 ms.
        sample_rate_hz: Their rate.
        ripples: As many clips.
        amplitude: Of every tone.

    Returns:
        The clips times e^{+m} and times e^{-m}. Samples may pass ±1.
    """
    n_fft, hop = round(_WINDOW_S * sample_rate_hz), round(_HOP_S * sample_rate_hz)
    window = torch.hann_window(n_fft, device=waveform.device)
    spectrum = torch.stft(waveform, n_fft, hop, window=window, return_complex=True)
    field = _field(ripples, spectrum.shape[1:], hop / sample_rate_hz, sample_rate_hz)
    gain = torch.exp(amplitude * field.to(waveform))
    plus, minus = (
        torch.istft(part, n_fft, hop, window=window, length=waveform.shape[1])
        for part in (spectrum * gain, spectrum / gain)
    )
    return plus, minus


def _field(
    ripples: Ripples, shape: tuple[int, ...], hop_s: float, sample_rate_hz: int
) -> Float[Tensor, "clips bins frames"]:
    """Return m(t, F) for A = 1 on the bins and frames of the short-time transform."""
    n_bins, n_frames = shape
    # The bin at 0 Hz has no logarithm: it goes with its neighbour.
    bin_hz = torch.arange(n_bins, dtype=torch.float64).clamp(min=1) * (
        0.5 * sample_rate_hz / (n_bins - 1)
    )
    time_s = hop_s * torch.arange(n_frames, dtype=torch.float64)
    across = ripples.phase[..., None] + 2 * torch.pi * ripples.density[..., None] * bin_hz.log2()
    along = 2 * torch.pi * ripples.mod_freq_hz[:, None] * time_s
    one = torch.ones((), dtype=torch.float64)
    turned: Tensor = torch.polar(one.expand_as(across), across).mT
    return (turned @ torch.polar(one.expand_as(along), along)).imag
