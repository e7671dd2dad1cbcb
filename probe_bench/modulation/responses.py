"""How every layer of an encoder responds to ripples, from two forward passes over each stretch.

The difference z(x·e^{+m}) - z(x·e^{-m}) holds the response to every tone at once, and nothing that both
signs share: the sound itself, position codes, drift. Log-mel is taken along as one more layer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from probe_bench.encoder import Encoder, Layer
from probe_bench.logmel import log_mel
from probe_bench.modulation.moments import principal_axes
from probe_bench.modulation.ripples import Ripples, impose
from probe_bench.modulation.stretches import Stretches

__all__ = ["Grams", "NotDeterministicError", "analyser", "log_mel_layer", "respond"]

_BATCH_S = 16.0  # of audio, twice: bounds memory, not results
_SAME = 1e-3  # two encodes may differ by this share of the response


class NotDeterministicError(Exception):
    """Two encodes of the same audio differ."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Grams:
    """Inner products of the responses of all pairs of clips, real parts, tone by tone.

    A response is turned back by the phase its clip was given, so whatever follows the ripples is the
    same in all clips. Sum over dimensions as they are (`weighted`) or as principal components of unit
    variance (`whitened`).
    """

    weighted: Float[Tensor, "tones clips clips"]
    whitened: Float[Tensor, "tones clips clips"]


def log_mel_layer(sample_rate_hz: int) -> Layer:
    """Describe the reference: 64 bands, 25 ms Hann, about 100 frames/s."""
    hop, window = _frame_samples(sample_rate_hz)
    return Layer(
        name="in",
        dim=64,
        depth=0.0,
        frame_rate_hz=Fraction(sample_rate_hz, hop),
        first_frame_s=Fraction(window, 2 * sample_rate_hz),
    )


def respond(encoder: Encoder, stretches: Stretches, ripples: Ripples, device: str) -> list[Grams]:
    """Encode every stretch with either sign and return the Gram matrices of all layers, then log-mel's.

    Memory holds one batch, the responses (16 bytes per clip, tone and dimension) and a
    `dim x dim` matrix a layer.

    Args:
        encoder: On `device`.
        stretches: No longer than the encoder's window.
        ripples: As many clips.
        device: Where to encode.

    Raises:
        NotDeterministicError: If two encodes of the first batch differ.
    """
    layers = [*encoder.layers, log_mel_layer(encoder.sample_rate_hz)]

    def heard(waveform: Tensor) -> list[Tensor]:
        with torch.inference_mode():
            own = [layer.float() for layer in encoder.encode(waveform)]
            return [*own, _log_mel(waveform, encoder.sample_rate_hz)]

    kept = [_Kept(layer, ripples.mod_freq_hz) for layer in layers]
    for number, (part, pair) in enumerate(_pairs(stretches, ripples, device)):
        found = heard(pair)
        if number == 0:
            _refuse_chance(encoder.layers, found, heard(pair))
        turn = torch.polar(torch.ones_like(part.phase), -part.phase)
        for layer, frames in zip(kept, found, strict=True):
            layer.add(frames, turn)
    return [layer.grams() for layer in kept]


def analyser(
    layer: Layer, n_frames: int, mod_freq_hz: Float[Tensor, " tones"]
) -> Complex[Tensor, "tones frames"]:
    """Return the least-squares fit of all tones at once, at the exact times of frames.

    Applied to frames `d` it gives the c_k of `d(t) ≈ const + Re sum_k c_k e^{2πi f_k t}`. Unlike a
    Fourier transform it keeps the tones apart though a layer's frames span no whole number of periods.
    """
    times = [float(layer.first_frame_s + k / layer.frame_rate_hz) for k in range(n_frames)]
    angle = 2 * torch.pi * torch.outer(torch.tensor(times, dtype=torch.float64), mod_freq_hz)
    basis = torch.cat([angle.cos(), angle.sin(), torch.ones(n_frames, 1, dtype=angle.dtype)], 1)
    inverse = torch.linalg.pinv(basis)
    n = len(mod_freq_hz)
    return torch.complex(inverse[:n], -inverse[n : 2 * n])


def _pairs(
    stretches: Stretches, ripples: Ripples, device: str
) -> Iterator[tuple[Ripples, Float[Tensor, "pairs samples"]]]:
    """Yield batches of stretches with either sign: all plus, then all minus."""
    size = max(1, int(_BATCH_S / stretches.duration_s))
    for start in range(0, len(stretches.waveform), size):
        some = slice(start, start + size)
        part, waveform = ripples.part(some), stretches.waveform[some].to(device)
        yield part, torch.cat(impose(waveform, stretches.sample_rate_hz, part))


class _Kept:
    """What is kept of one layer: responses of all clips, and sums for its principal axes."""

    def __init__(self, layer: Layer, mod_freq_hz: Tensor) -> None:
        self._layer, self._mod_freq_hz = layer, mod_freq_hz
        self._responses: list[Tensor] = []
        self._n = 0

    def add(self, frames: Float[Tensor, "pairs frames dim"], turn: Tensor) -> None:
        plus, minus = frames.chunk(2)
        if not self._n:
            fit = analyser(self._layer, frames.shape[1], self._mod_freq_hz)
            self._fit = fit.to(frames.device, torch.complex64)
            self._near = plus.mean((0, 1))  # products of what is left keep float32's precision
            self._by_position = torch.zeros_like(plus[0], dtype=torch.float64)
            self._products = torch.zeros(plus.shape[2:] * 2, dtype=torch.float64).to(plus.device)
        response = self._fit @ (plus - minus).to(torch.complex64)
        self._responses.append(response * turn[..., None].to(response))
        rest = plus - self._near
        self._by_position += rest.sum(0).double()
        self._products += (rest.flatten(0, 1).T @ rest.flatten(0, 1)).double()
        self._n += len(plus)

    def grams(self) -> Grams:
        r = torch.cat(self._responses)
        axes = principal_axes(self._covariance(), r.shape[2]).to(r)
        return Grams(weighted=_gram(r), whitened=_gram(r @ axes))

    def _covariance(self) -> Float[Tensor, "dim dim"]:
        """Within positions: what every clip has at the same place is no signal."""
        mean = self._by_position / self._n
        return (self._products - self._n * mean.T @ mean) / (self._n * len(mean))


def _gram(responses: Complex[Tensor, "clips tones dim"]) -> Float[Tensor, "tones clips clips"]:
    by_tone = responses.transpose(0, 1)
    return (by_tone @ by_tone.mH).real.double().cpu()


def _refuse_chance(layers: Sequence[Layer], once: list[Tensor], again: list[Tensor]) -> None:
    for layer, first, second in zip(layers, once, again, strict=False):
        plus, minus = first.chunk(2)
        differ, response = (x.square().mean().sqrt() for x in (first - second, plus - minus))
        if differ > _SAME * response:
            raise NotDeterministicError(
                f"two encodes of the same audio differ in {layer.name} by {float(differ / response):.1e} "
                "of the response; make the encoder deterministic (dropout, noise, sampling off)"
            )


def _log_mel(waveform: Tensor, sample_rate_hz: int) -> Float[Tensor, "clips frames bands"]:
    hop, window = _frame_samples(sample_rate_hz)
    return log_mel(waveform, sample_rate_hz, hop_samples=hop, window_samples=window)


def _frame_samples(sample_rate_hz: int) -> tuple[int, int]:
    return round(sample_rate_hz / 100), round(sample_rate_hz / 40)
