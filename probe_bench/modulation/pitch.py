"""Pitch by the autocorrelation of windowed frames.

The autocorrelation of a tapered frame falls with the lag because of the taper; dividing it by the
taper's own undoes that, so that a periodic sound reaches 1 at its period.

Source: Boersma 1993, Accurate short-term analysis of the fundamental frequency, eq. 9; the range of
pitch that is plausible for a clip follows De Looze & Hirst 2008, Detecting changes in key and range.

Differs from the source in the missing path search: instead, candidates outside the range of the
clip's own quartiles (0.75 times the lower to 1.5 times the upper) are left out in a second pass.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Pitch", "pitch"]

_LOW_HZ, _HIGH_HZ = 60.0, 600.0
_WINDOW_S = 3 / _LOW_HZ  # three periods of the lowest pitch
_VOICED = 0.45
_SILENT = 0.03  # of the loudest frame's amplitude
_OCTAVE_COST = 0.01  # a multiple of the period correlates as well as the period: prefer short lags


@dataclass(frozen=True, kw_only=True, eq=False)
class Pitch:
    """Pitch of a clip at given times.

    Attributes:
        hz: Fundamental frequency; of no meaning where the sound is not voiced.
        voiced: Where the sound is periodic, loud enough and the window lies inside the clip.
    """

    hz: Float[Tensor, " rows"]
    voiced: Bool[Tensor, " rows"]


def pitch(
    waveform: Float[Tensor, " samples"], sample_rate_hz: int, centres_s: Float[Tensor, " rows"]
) -> Pitch:
    """Track the pitch between 60 and 600 Hz in Hann windows of 50 ms around each time."""
    window = round(_WINDOW_S * sample_rate_hz)
    start = (centres_s * sample_rate_hz - window / 2).round().long()
    fits = (start >= 0) & (start + window <= len(waveform))
    if not fits.any():
        return Pitch(hz=torch.full_like(centres_s, _LOW_HZ), voiced=fits)
    last = max(0, len(waveform) - window)
    frames = waveform[start.clamp(0, last)[:, None] + torch.arange(window)]
    correlation = _autocorrelation(frames, int(sample_rate_hz / _LOW_HZ) + 1)
    level = frames.square().mean(1).sqrt()
    loud = fits & (level > _SILENT * level.max())
    found = _strongest(correlation, sample_rate_hz, _LOW_HZ, _HIGH_HZ)
    sure = found.hz[found.voiced & loud]
    if len(sure):
        low, high = sure.quantile(torch.tensor([0.25, 0.75])).tolist()
        found = _strongest(
            correlation, sample_rate_hz, max(_LOW_HZ, 0.75 * low), min(_HIGH_HZ, 1.5 * high)
        )
    return Pitch(hz=found.hz.to(centres_s), voiced=found.voiced & loud)


def _autocorrelation(
    frames: Float[Tensor, "rows window"], longest: int
) -> Float[Tensor, "rows lags"]:
    """Autocorrelation from lag 0 to `longest`, relative to lag 0, the taper's undone."""
    n = frames.shape[1]
    taper = torch.hann_window(n, periodic=False)
    n_fft = 1 << (n + longest).bit_length()

    def correlate(x: Tensor) -> Tensor:
        power = torch.fft.rfft(x, n=n_fft).abs().square()
        lags: Tensor = torch.fft.irfft(power, n=n_fft)[..., : longest + 1]
        return lags / lags[..., :1].clamp(min=1e-12)

    centred = frames - frames.mean(1, keepdim=True)
    return correlate(centred * taper) / correlate(taper)


def _strongest(
    correlation: Float[Tensor, "rows lags"], sample_rate_hz: int, low_hz: float, high_hz: float
) -> Pitch:
    """Take the highest peak of every row between two pitches, to a fraction of a sample."""
    middle = correlation[:, 1:-1]
    lags = torch.arange(1, middle.shape[1] + 1)
    is_peak = (middle >= correlation[:, :-2]) & (middle > correlation[:, 2:])
    allowed = (lags * low_hz <= sample_rate_hz) & (lags * high_hz >= sample_rate_hz)
    cost = _OCTAVE_COST * (lags * low_hz / sample_rate_hz).log2()
    best = torch.where(is_peak & allowed, middle - cost, -torch.inf).argmax(1)
    before, here, after = (
        correlation.gather(1, best[:, None] + i)[:, 0] for i in range(3)
    )  # fmt: skip
    # Vertex of the parabola through the three values.
    bend = (before - 2 * here + after).clamp(max=-1e-12)
    shift = (0.5 * (before - after) / bend).clamp(-0.5, 0.5)
    return Pitch(hz=sample_rate_hz / (best + 1 + shift), voiced=here > _VOICED)
