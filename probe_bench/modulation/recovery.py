"""What can be recovered of the sound at every modulation frequency, with context and on the full grid.

A linear readout of a token and its two neighbours predicts every reference row (10 ms at most), also
those between tokens. Its held-out error at frequency f gives R²(f) = 1 - S_ee(f) / S_yy(f); its
coherence with the reference gives the information

    I = -sum_k ∫ log2(1 - γ_k²(f)) df   bits/s

over the reference's components k, as though they were independent. Neither is a cutoff: a noise-free
low-pass can be undone by a readout with context, so R² falls to a half at 1.3 to 2.6 times the cutoff.

Source: Borst & Theunissen 1999, Information theory and neural coding, eq. 8 (lower bound by coherence).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.modulation.fitting import RIDGE, Fitted
from probe_bench.modulation.held_out import predict_held_out
from probe_bench.modulation.readout import (
    PairSpectra,
    pair_spectra,
    without_clip_mean,
)
from probe_bench.modulation.segments import cut

__all__ = ["Recovered", "recover"]

_CONTEXT = (-1, 0, 1)
_TOKENS_PER_INPUT = 10
_DIMS = 48  # principal components of each token; neighbours say much of what smaller ones would add


@dataclass(frozen=True, kw_only=True, eq=False)
class Recovered:
    """Held-out spectra of prediction and reference on the full grid.

    Attributes:
        spectra: By group, reference component and frequency.
        mod_freq_hz: Modulation frequencies of the spectra.
        segment_s: Median segment length.
    """

    spectra: PairSpectra
    mod_freq_hz: Float[Tensor, " freqs"]
    segment_s: float


def recover(fit: Fitted) -> Recovered:
    """Predict all reference rows around every token that has neighbours, and transform."""
    frames, n_clips = fit.bands.frames, len(fit.group)
    tokens, rows = _around(fit)
    # Components are those of each fold; what is fitted over several folds are the bands.
    bands = frames.values[rows].flatten(1)
    guess, _ = predict_held_out(_contexts(fit, tokens), bands, fit.fold[tokens], ridge=RIDGE)
    rows = rows.flatten()
    guess = fit.in_components(guess.view(len(rows), -1), rows)
    # From here on a table of the rows used alone, every clip in one piece.
    clip = frames.clip[rows]
    length = torch.bincount(clip, minlength=n_clips)
    segments = cut(length.cumsum(0) - length, length, fit.rate_hz)
    predicted = without_clip_mean(guess, clip, n_clips)
    wanted = without_clip_mean(fit.components[rows], clip, n_clips)
    return Recovered(
        spectra=pair_spectra(predicted, wanted, segments, fit.group, fit.n_groups),
        mod_freq_hz=segments.mod_freq_hz,
        segment_s=segments.median_s,
    )


def _around(fit: Fitted) -> tuple[Int[Tensor, " used"], Int[Tensor, "used per_token"]]:
    """Tokens with neighbours on both sides and the rows around them, all of them in the clip.

    Of every P rows the token is paired with the middle one, the earlier one if P is even.
    """
    per_token = fit.bands.grid.per_token
    lags = fit.lag + torch.arange(per_token) - (per_token - 1) // 2
    rows, inside = fit.pairing.rows(lags)
    position, last = fit.tokens.position, fit.tokens.lengths[fit.tokens.clip] - 1
    used = inside.all(1) & (position > 0) & (position < last)
    return used.nonzero()[:, 0], rows[used]


def _contexts(fit: Fitted, tokens: Int[Tensor, " used"]) -> Iterator[Float[Tensor, "used inputs"]]:
    """Whitened tokens beside their neighbours, fold after fold.

    With little audio fewer principal components are used, so that ten tokens come to an input.
    """
    most = max(1, min(_DIMS, len(tokens) // (_TOKENS_PER_INPUT * len(_CONTEXT))))
    for z in fit.projected:
        yield torch.cat([z[tokens + step, :most] for step in _CONTEXT], 1)
