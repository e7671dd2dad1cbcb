"""Readout modulation transfer function: how fast a sound may change for a layer to follow it.

A linear readout without context predicts the principal components y of the log-mel reference (or any
other track) from one token z at its best lag. What the layer has lost of a modulation frequency the
readout cannot give back, so the transfer function from y to its held-out prediction

    T(f) = |sum_k S_{yhat_k y_k}(f)| / sum_k S_{y_k y_k}(f)

falls there. Predictions are placed on the reference grid with zeros between them (times P), which
leaves T as it is below half the token rate and lets it be read above.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from probe_bench.modulation.fitting import Fitted, fit_readout
from probe_bench.modulation.reference import Bands
from probe_bench.modulation.segments import Segments, cut, eigenspectra
from probe_bench.modulation.tokens import Tokens

__all__ = [
    "TIME_BANDWIDTH",
    "PairSpectra",
    "Readout",
    "band_readout",
    "pair_spectra",
    "pair_sums",
    "readout",
    "stuffed_spectra",
    "without_clip_mean",
]

# One taper: three of NW = 2 double the lowest cutoff that short clips can show (a true 1 Hz reads
# 1.4 Hz in clips of 2 s) and make intervals hardly narrower.
TIME_BANDWIDTH = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Readout:
    """Sums from which transfer function, explained variance and their intervals follow.

    Attributes:
        lag_s: Best lag: the token at time t predicts the reference at `t + lag_s`.
        error: Held-out squared error of every group.
        total: Squared deviation from the training mean of every group.
        cross: Cross-spectrum of prediction and reference.
        power: Spectrum of the reference.
        predicted_power: Spectrum of the prediction, summed over components.
        chance: Square of the cross-spectrum that an unrelated prediction of the same spectrum has.
        mod_freq_hz: Modulation frequencies of the spectra.
        segment_s: Median segment length.
        is_coarse: Tokens span four or more reference rows, or are codes.
    """

    lag_s: float
    error: Float[Tensor, " groups"]
    total: Float[Tensor, " groups"]
    cross: Complex[Tensor, "groups components freqs"]
    power: Float[Tensor, "groups components freqs"]
    predicted_power: Float[Tensor, "groups freqs"]
    chance: Float[Tensor, "groups freqs"]
    mod_freq_hz: Float[Tensor, " freqs"]
    segment_s: float
    is_coarse: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class PairSpectra:
    """Spectra of predictions and references of every component, summed over each group's segments.

    Attributes:
        cross: Cross-spectrum of prediction and reference.
        power: Spectrum of the reference.
        predicted_power: Spectrum of the prediction.
        chance: Sum over segments of the product of both spectra: what the square of the
            cross-spectrum comes to if prediction and reference have nothing to do with each other.
    """

    cross: Complex[Tensor, "groups components freqs"]
    power: Float[Tensor, "groups components freqs"]
    predicted_power: Float[Tensor, "groups components freqs"]
    chance: Float[Tensor, "groups components freqs"]


def readout(
    tokens: Tokens, bands: Bands, group: Int[Tensor, " clips"], *, n_groups: int, n_folds: int = 5
) -> Readout:
    """Fit, predict and transform, cross-fitted over folds that share no group.

    Args:
        tokens: Frames of one layer, per-position mean subtracted.
        bands: Reference frames of the same clips.
        group: Group of every clip.
        n_groups: Number of groups.
        n_folds: Most folds; never more than there are groups.

    Returns:
        Held-out sums per group.
    """
    return band_readout(fit_readout(tokens, bands, group, n_groups=n_groups, n_folds=n_folds))


def band_readout(fit: Fitted) -> Readout:
    """Return the sums of a fitted readout of the reference's components."""
    clip = fit.tokens.clip[fit.paired]
    return pair_sums(fit, fit.predicted, fit.components, fit.rows, clip, fit.lag)


def pair_sums(
    fit: Fitted,
    predicted: Float[Tensor, "paired components"],
    wanted: Float[Tensor, "rows components"],
    rows: Int[Tensor, " paired"],
    clip: Int[Tensor, " paired"],
    lag: int,
) -> Readout:
    """Return the sums of some predictions.

    Args:
        fit: What was fitted.
        predicted: Prediction of every token used.
        wanted: What was to be predicted, on all rows.
        rows: Row of every token used.
        clip: Clip of every token used.
        lag: Lag in reference rows.
    """
    spectra, segments = stuffed_spectra(fit, predicted, wanted, rows, clip)

    def by_group(value: Tensor) -> Tensor:
        sums = value.new_zeros(fit.n_groups, dtype=torch.float64)
        return sums.index_add_(0, fit.group[clip], value.double().square().sum(1))

    return Readout(
        lag_s=lag / fit.rate_hz,
        error=by_group(wanted[rows] - predicted),
        total=by_group(wanted[rows]),
        cross=spectra.cross,
        power=spectra.power,
        predicted_power=spectra.predicted_power.sum(1),
        chance=spectra.chance.sum(1),
        mod_freq_hz=segments.mod_freq_hz,
        segment_s=segments.median_s,
        is_coarse=fit.is_patch or fit.tokens.are_codes,
    )


def stuffed_spectra(
    fit: Fitted,
    predicted: Float[Tensor, "paired components"],
    wanted: Float[Tensor, "rows components"],
    rows: Int[Tensor, " paired"],
    clip: Int[Tensor, " paired"],
) -> tuple[PairSpectra, Segments]:
    """Place predictions on the reference grid, zeros between them, and transform where there are any.

    Arguments are those of `pair_sums`. Both sides have their clip mean subtracted, so that it does not
    leak into the lowest frequencies.
    """
    frames, per_token = fit.bands.frames, fit.bands.grid.per_token
    stuffed = torch.zeros_like(wanted)
    stuffed[rows] = per_token * without_clip_mean(predicted, clip, len(fit.group))
    signal = without_clip_mean(wanted, frames.clip, len(fit.group))
    start = torch.zeros_like(frames.lengths).scatter_reduce_(
        0, clip, rows, "amin", include_self=False
    )
    covered = torch.bincount(clip, minlength=len(frames.lengths)) * per_token
    length = torch.minimum(covered, frames.first + frames.lengths - start)
    segments = cut(start, length, fit.rate_hz)
    return pair_spectra(stuffed, signal, segments, fit.group, fit.n_groups), segments


def without_clip_mean(
    values: Float[Tensor, "rows components"], clip: Int[Tensor, " rows"], n_clips: int
) -> Float[Tensor, "rows components"]:
    """Subtract the mean of every clip."""
    total = values.new_zeros(n_clips, values.shape[1]).index_add_(0, clip, values)
    count = torch.bincount(clip, minlength=n_clips)[:, None].clamp(min=1)
    centred: Tensor = values - (total / count)[clip]
    return centred


def pair_spectra(
    predicted: Float[Tensor, "rows components"],
    wanted: Float[Tensor, "rows components"],
    segments: Segments,
    group: Int[Tensor, " clips"],
    n_groups: int,
) -> PairSpectra:
    """Sum spectra and cross-spectra of prediction and reference over the segments of each group."""
    shape = (n_groups, wanted.shape[1], len(segments.mod_freq_hz))
    cross = torch.zeros(shape, dtype=torch.complex128)
    power, predicted_power, chance = torch.zeros(3, *shape, dtype=torch.float64)
    both = torch.cat([predicted, wanted], 1)
    for part, spectra in eigenspectra(both, segments, TIME_BANDWIDTH):
        y_hat, y = spectra.sum(1).chunk(2, 1)
        owner = group[segments.clip[part]]
        there, guess = y.abs().square().double(), y_hat.abs().square().double()
        cross.index_add_(0, owner, (y_hat * y.conj()).to(torch.complex128))
        power.index_add_(0, owner, there)
        predicted_power.index_add_(0, owner, guess)
        chance.index_add_(0, owner, guess * there)
    return PairSpectra(cross=cross, power=power, predicted_power=predicted_power, chance=chance)
