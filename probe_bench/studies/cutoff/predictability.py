"""The rival of the law: what survives a gap is what can be predicted across it, slow or not.

Gaps of length T are cut out of the log-mel of the training audio. The part of a component inside a gap is
taken apart into cosines, k = 0, 1, ... half cycles in T (DCT-II, so f = k / 2T), and each is predicted
from half a second on either side by ridge regression. R²(f; T) on clips that the regression has not seen says
what of the audio a predictor could know, whatever encodes it.

The rival holds that the cutoff of a training with span T is where R²(f; T) falls to one value ρ²,
the same for all spans.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoders.pretraining.data.tape import Tape
from probe_bench.logmel import log_mel
from probe_bench.studies.cutoff.scales import RATE_HZ

__all__ = ["Curve", "Rivals", "compare_rivals", "predictability"]

_HOP, _WINDOW, _BANDS = 200, 400, 64
_HOP_S = _HOP / RATE_HZ
_CONTEXT_S = 0.5
_COMPONENTS = 12
_GAPS = 12_000
_LOWEST_HZ, _HIGHEST_HZ = 0.25, 20.0
_STRENGTHS = np.geomspace(1e-4, 100, 13)  # over the mean eigenvalue of the Gram matrix
_LEVELS = np.geomspace(0.01, 0.9, 90)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """How well what is inside gaps of one length can be predicted.

    Attributes:
        span_s: Length of the gaps.
        mod_freq_hz: k / 2T.
        r2: Share of the power at this frequency that is predicted on held-out clips.
    """

    span_s: float
    mod_freq_hz: Float[np.ndarray, " n"]
    r2: Float[np.ndarray, " n"]

    def falls_to(self, level: float) -> float:
        """Frequency at which R² first falls to a level: 20 Hz if it never does, 0.25 Hz if it never was above."""
        below = np.flatnonzero(self.r2 <= level)
        if not len(below):
            return _HIGHEST_HZ
        k = int(below[0])
        if k == 0:
            return _LOWEST_HZ
        (f0, f1), (r0, r1) = self.mod_freq_hz[k - 1 : k + 1], self.r2[k - 1 : k + 1]
        return float(max(f0 + (f1 - f0) * (r0 - level) / (r0 - r1), _LOWEST_HZ))


def predictability(tape: Tape, spans_s: Sequence[float], seed: int = 0) -> list[Curve]:
    """Measure R²(f; T) of some audio for every T.

    Args:
        tape: The training audio.
        spans_s: Lengths of the gaps.
        seed: Of the places of the gaps.
    """
    clips = _components(tape)
    rng = np.random.default_rng(seed)
    return [_curve(clips, span_s, rng) for span_s in spans_s]


def _components(tape: Tape) -> list[Float[Tensor, "frames components"]]:
    """Principal components of every clip's log-mel, each of unit variance."""
    ends = np.cumsum(tape.lengths)
    mels = []
    for start, end in zip(ends - tape.lengths, ends, strict=True):
        samples = torch.from_numpy(tape.samples[start:end].astype(np.float32) / 32767)
        if len(samples) >= _WINDOW:
            mel = log_mel(
                samples[None], RATE_HZ, bands=_BANDS, hop_samples=_HOP, window_samples=_WINDOW
            )
            mels.append(mel[0].double())
    rows = torch.cat(mels)
    mean = rows.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(rows.T))
    basis = vectors[:, -_COMPONENTS:] / values[-_COMPONENTS:].sqrt()
    return [(mel - mean) @ basis for mel in mels]


def _curve(
    clips: Sequence[Float[Tensor, "frames components"]], span_s: float, rng: np.random.Generator
) -> Curve:
    """A third of the clips fits, a third chooses the strengths, a third is predicted."""
    gap, side = round(span_s / _HOP_S), round(_CONTEXT_S / _HOP_S)
    whole = gap + 2 * side
    usable = [clip for clip in clips if len(clip) >= whole]
    order, dct = rng.permutation(len(usable)), _dct(gap)
    thirds = [
        _split(_windows([usable[i] for i in order[k::3]], whole, _GAPS // 3, rng), side, gap, dct)
        for k in range(3)
    ]
    inputs, wanted = thirds[2]
    error = (wanted - inputs @ _best_ridge(*thirds[:2])).square().mean(0)
    shape = (len(dct), _COMPONENTS)
    r2 = 1 - error.view(shape).sum(1) / wanted.square().mean(0).view(shape).sum(1)
    return Curve(
        span_s=span_s,
        mod_freq_hz=np.arange(len(dct)) / (2 * gap * _HOP_S),
        r2=r2.numpy(),
    )


def _best_ridge(
    fit: tuple[Tensor, Tensor], chosen_on: tuple[Tensor, Tensor]
) -> Float[Tensor, "inputs outputs"]:
    """Ridge weights; every output has the strength that predicts it best on other clips."""
    values, vectors = torch.linalg.eigh(fit[0].T @ fit[0])
    turned = vectors.T @ (fit[0].T @ fit[1])
    best = torch.zeros_like(turned)
    least = chosen_on[1].square().sum(0)  # of predicting nothing
    for strength in _STRENGTHS:
        weights = vectors @ (turned / (values + strength * values.mean())[:, None])
        error = (chosen_on[1] - chosen_on[0] @ weights).square().sum(0)
        better = error < least
        best[:, better], least = weights[:, better], least.minimum(error)
    return best


def _dct(gap: int) -> Float[Tensor, "cosines gap"]:
    """Orthonormal cosines over a gap, as far as 20 Hz, two at least."""
    highest = max(2, int(_HIGHEST_HZ * 2 * gap * _HOP_S) + 1)
    k = torch.arange(min(gap, highest), dtype=torch.float64)[:, None]
    place = torch.arange(gap, dtype=torch.float64) + 0.5
    scale = torch.where(k == 0, 1.0, 2.0).sqrt() / gap**0.5
    cosines: Tensor = scale * torch.cos(torch.pi * k * place / gap)
    return cosines


def _windows(
    clips: Sequence[Tensor], length: int, count: int, rng: np.random.Generator
) -> Float[Tensor, "windows frames components"]:
    """Cut windows, clips in proportion to the places that they have."""
    rooms = np.array([len(clip) - length + 1 for clip in clips], dtype=float)
    chosen = rng.choice(len(clips), size=count, p=rooms / rooms.sum())
    starts = (rng.random(count) * rooms[chosen]).astype(int)
    return torch.stack([clips[c][s : s + length] for c, s in zip(chosen, starts, strict=True)])


def _split(
    windows: Float[Tensor, "windows frames components"], side: int, gap: int, dct: Tensor
) -> tuple[Float[Tensor, "windows inputs"], Float[Tensor, "windows outputs"]]:
    """Context on both sides, and what is inside as cosines."""
    context = torch.cat([windows[:, :side], windows[:, side + gap :]], 1).flatten(1)
    inside = torch.einsum("kg,wgc->wkc", dct, windows[:, side : side + gap]).flatten(1)
    return context, inside


@dataclass(frozen=True, kw_only=True, slots=True)
class Rivals:
    """How far three models miss the cutoffs of spans that they were not fitted to.

    Attributes:
        rho2: The level that fits all spans best.
        predictable: Root mean square error of log cutoff where R²(f; T) falls to one level.
        law: The same of c / T with c fitted.
        constant: The same of one cutoff for all spans.
    """

    rho2: float
    predictable: float
    law: float
    constant: float


def compare_rivals(cutoff_hz: Mapping[float, float], curves: Sequence[Curve]) -> Rivals:
    """Leave each span out in turn, fit each model to the others, and predict it.

    Args:
        cutoff_hz: Cutoff by mask span in seconds, three at least.
        curves: Of the same spans.
    """
    spans = [curve.span_s for curve in curves]
    wanted = np.log([cutoff_hz[span] for span in spans])
    offered = np.log([[curve.falls_to(level) for curve in curves] for level in _LEVELS])
    misfit = (offered - wanted) ** 2
    law = wanted + np.log(spans)  # the law says that this is one number
    errors: dict[str, list[float]] = {"predictable": [], "law": [], "constant": []}
    for left in range(len(spans)):
        rest = np.arange(len(spans)) != left
        level = int(misfit[:, rest].mean(1).argmin())
        errors["predictable"].append(offered[level, left] - wanted[left])
        errors["law"].append(law[rest].mean() - law[left])
        errors["constant"].append(wanted[rest].mean() - wanted[left])
    rms = {name: float(np.sqrt(np.mean(np.square(misses)))) for name, misses in errors.items()}
    return Rivals(rho2=float(_LEVELS[misfit.mean(1).argmin()]), **rms)
