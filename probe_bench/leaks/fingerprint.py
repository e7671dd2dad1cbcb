"""An acoustic fingerprint: 50 words of 32 bits a second that survive gain, codecs and resampling.

Bits are signs of energy differences along time and frequency, after Haitsma and Kalker (2002), "A
highly robust audio fingerprinting system", eq. 1:

    word bit m of frame n  =  [E(n, m) - E(n, m+1)] - [E(n-lag, m) - E(n-lag, m+1)] > 0

with E(n, m) the energy in band m (33 bands, 300 to 3400 Hz, even on a logarithmic scale). Unlike the
paper, nothing is resampled: windows and hops last equally long at every rate, and band edges fall
between FFT bins; and short windows are averaged over time, which costs a tenth of their long one.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage
from jaxtyping import Bool, Float, Float32, UInt32

__all__ = ["FRAME_S", "FRAME_SPAN_S", "LEAST_FRAMES", "Fingerprint", "fingerprint"]

FRAME_S = 0.02
"""Distance of the frames."""

LEAST_FRAMES = 40
"""Active frames (0.8 s) below which nothing can be said."""

_WINDOW_S = 0.128
_AVERAGED = 9  # windows whose energies are averaged: hides a shift by half a hop
_LAG = 8  # frames between the two energies of a bit
FRAME_SPAN_S = _WINDOW_S + (_AVERAGED - 1 + _LAG) * FRAME_S
"""What one word is made from."""

_EDGES_HZ = np.geomspace(300.0, 3400.0, 34)
_LOWEST_RATE_HZ = 7000
_WEAK_BITS = 4  # bits a word that a codec flips first
_DYNAMIC_RANGE = 10**-2.5  # frames 25 dB below the loudest around them are noise in one copy
_AROUND_FRAMES = 201
_STEADY = 1e-3  # share of a frame's energy that must change for signs to mean anything
_BLOCK_FRAMES = 512  # bounds memory in long recordings


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """What identifies a clip's audio: 24 kB a minute.

    Attributes:
        words: Sub-fingerprints.
        weak: Bits of each word that flip most easily, as a mask; 0 where the frame is too quiet or
            too steady to tell anything.
        content: sha256 of samples and rate: equal for the same samples in another container.
        duration_s: Length of the audio.
        rate_hz: Its sample rate.
    """

    words: UInt32[np.ndarray, " frames"]
    weak: UInt32[np.ndarray, " frames"]
    content: str
    duration_s: float
    rate_hz: int

    @property
    def active(self) -> Bool[np.ndarray, " frames"]:
        """Frames that tell something."""
        active: np.ndarray = self.weak != 0
        return active

    @property
    def unjudged(self) -> str:
        """Why the audio cannot be told from other audio; empty if it can."""
        if self.rate_hz < _LOWEST_RATE_HZ:
            return "rate too low"
        if len(self.words) < LEAST_FRAMES:
            return "too short"
        if np.count_nonzero(self.weak) < LEAST_FRAMES:
            return "silent or steady"
        return ""


def fingerprint(samples: Float32[np.ndarray, " samples"], rate_hz: int) -> Fingerprint:
    """Fingerprint mono audio.

    Args:
        samples: Of any gain.
        rate_hz: Their rate; below 7 kHz there are no words.

    Returns:
        Words from 0.22 s after the first to 0.22 s before the last sample; none under 0.45 s.
    """
    content = hashlib.sha256(np.ascontiguousarray(samples).tobytes())
    content.update(str(rate_hz).encode())
    words, weak = _words(_band_energies(samples, rate_hz))
    return Fingerprint(
        words=words,
        weak=weak,
        content=content.hexdigest(),
        duration_s=len(samples) / rate_hz,
        rate_hz=rate_hz,
    )


def _band_energies(
    samples: Float32[np.ndarray, " samples"], rate_hz: int
) -> Float[np.ndarray, "windows bands"]:
    """Return the energy of every band in every window."""
    size = round(_WINDOW_S * rate_hz)
    if len(samples) < size or rate_hz < _LOWEST_RATE_HZ:
        return np.zeros((0, len(_EDGES_HZ) - 1))
    n_fft = scipy.fft.next_fast_len(size, real=True)
    # Starts are rounded to samples, so that a frame is the same stretch of time at every rate.
    starts = np.rint(np.arange(len(samples) / (FRAME_S * rate_hz)) * FRAME_S * rate_hz)
    starts = starts[starts <= len(samples) - size].astype(np.int64)
    window = np.hanning(size + 2)[1:-1].astype(np.float32)
    stretches = np.lib.stride_tricks.sliding_window_view(samples, size)
    # Bin k reaches from k - 1/2 to k + 1/2; edges between bins share a bin in proportion.
    edges = _EDGES_HZ * n_fft / rate_hz + 0.5
    below, share = edges.astype(np.int64), edges % 1.0
    energies = np.empty((len(starts), len(_EDGES_HZ) - 1))
    for first in range(0, len(starts), _BLOCK_FRAMES):
        block = slice(first, first + _BLOCK_FRAMES)
        spectrum = scipy.fft.rfft(stretches[starts[block]] * window, n_fft, axis=1)
        spectrum = spectrum[:, : below[-1] + 2]
        power = spectrum.real.astype(np.float64) ** 2 + spectrum.imag.astype(np.float64) ** 2
        total = np.cumsum(np.pad(power, ((0, 0), (1, 0))), axis=1)
        upto = total[:, below] * (1 - share) + total[:, below + 1] * share
        energies[block] = np.diff(upto, axis=1)
    return energies


def _words(
    energies: Float[np.ndarray, "windows bands"],
) -> tuple[UInt32[np.ndarray, " frames"], UInt32[np.ndarray, " frames"]]:
    """Return the words, and the masks of their weakest bits."""
    if len(energies) < _AVERAGED + _LAG:
        return np.zeros(0, np.uint32), np.zeros(0, np.uint32)
    # Sums, not differences of running sums: digital silence stays exactly zero.
    smooth = np.lib.stride_tricks.sliding_window_view(energies, _AVERAGED, axis=0).sum(axis=-1)
    tilt = smooth[:, :-1] - smooth[:, 1:]
    change = tilt[_LAG:] - tilt[:-_LAG]
    size = np.abs(change)
    weakest = np.argpartition(size, _WEAK_BITS, axis=1)[:, :_WEAK_BITS]
    weak = np.zeros(change.shape, dtype=np.bool_)
    loud = _loud(smooth.sum(axis=1))
    telling = size.sum(axis=1) > _STEADY * smooth[_LAG:].sum(axis=1)
    np.put_along_axis(weak, weakest, (loud[_LAG:] & loud[:-_LAG] & telling)[:, None], axis=1)
    return _packed(change > 0), _packed(weak)


def _loud(energy: Float[np.ndarray, " frames"]) -> Bool[np.ndarray, " frames"]:
    """Say which frames stand out of the noise that a copy may have."""
    loudest = scipy.ndimage.maximum_filter1d(energy, _AROUND_FRAMES, mode="nearest")
    return energy > np.maximum(loudest * _DYNAMIC_RANGE, np.finfo(np.float32).tiny)


def _packed(bits: Bool[np.ndarray, "frames 32"]) -> UInt32[np.ndarray, " frames"]:
    """Pack 32 bits into a word."""
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint32)[:, 0]
