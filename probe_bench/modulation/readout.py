"""Readout modulation transfer function: how fast a sound may change for a layer to follow it.

A linear readout without context predicts the principal components y of the log-mel reference from one
token z at its best lag. What the layer has lost of a modulation frequency the readout cannot give
back, so the transfer function from y to its held-out prediction

    T(f) = |sum_k S_{yhat_k y_k}(f)| / sum_k S_{y_k y_k}(f)

falls there. Predictions are placed on the reference grid with zeros between them (times P), which
leaves T as it is below half the token rate and lets it be read above.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from probe_bench.modulation.lag import best_lag, lag_grid
from probe_bench.modulation.moments import cross_fit, fold_moments, principal_axes
from probe_bench.modulation.pairing import Pairing, pair
from probe_bench.modulation.reference import Bands
from probe_bench.modulation.segments import Segments, cut, eigenspectra
from probe_bench.modulation.tokens import Tokens

__all__ = ["TIME_BANDWIDTH", "Readout", "fold_of_group", "readout"]

_COMPONENTS = 12
_DIMS = 48
_PATCH_DIMS = 160
# One taper: three of NW = 2 double the lowest cutoff that short clips can show (a true 1 Hz reads
# 1.4 Hz in clips of 2 s) and make intervals hardly narrower.
TIME_BANDWIDTH = 1.0
_PATCH_ROWS = 4  # tokens of four or more reference rows hold several instants each
_RIDGE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Readout:
    """Sums from which transfer function, explained variance and their intervals follow.

    Attributes:
        lag_s: Best lag: the token at time t predicts the reference at `t + lag_s`.
        error: Held-out squared error of every group.
        total: Squared deviation from the training mean of every group.
        cross: Cross-spectrum of prediction and reference, summed over components.
        power: Spectrum of the reference, summed over components.
        mod_freq_hz: Modulation frequencies of the spectra.
        segment_s: Median segment length.
        is_patch: Tokens span four or more reference rows.
    """

    lag_s: float
    error: Float[Tensor, " groups"]
    total: Float[Tensor, " groups"]
    cross: Complex[Tensor, "groups freqs"]
    power: Float[Tensor, "groups freqs"]
    mod_freq_hz: Float[Tensor, " freqs"]
    segment_s: float
    is_patch: bool


def fold_of_group(size: Float[Tensor, " groups"], n_folds: int) -> Int[Tensor, " groups"]:
    """Deal groups to folds, the largest first, each to the fold that is emptiest so far."""
    fold = torch.zeros(len(size), dtype=torch.long)
    filled = [0.0] * n_folds
    for group in size.argsort(descending=True, stable=True).tolist():
        emptiest = filled.index(min(filled))
        fold[group] = emptiest
        filled[emptiest] += float(size[group])
    return fold


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
    n_folds = min(n_folds, n_groups)
    size = torch.bincount(group, weights=tokens.lengths.cpu().double(), minlength=n_groups)
    clip_fold = fold_of_group(size, n_folds)[group]
    pairing = pair(tokens, bands)
    is_patch = bands.grid.per_token >= _PATCH_ROWS
    n_dims = _PATCH_DIMS if is_patch else _DIMS
    lag = _search(tokens, bands, pairing, clip_fold, n_dims)

    rows, inside = (part[:, 0] for part in pairing.rows(torch.tensor([lag])))
    rows, clip, x, y = rows[inside], tokens.clip[inside], tokens.values[inside], bands.frames.values
    moments = fold_moments(x, y[rows], clip_fold[clip], n_folds)
    fit = cross_fit(moments, dims=n_dims, components=_COMPONENTS, ridge=_RIDGE)
    predicted = _apply(x, fit.x_mean, fit.weights, clip_fold[clip])
    wanted = _apply(y, fit.y_mean, fit.axes, clip_fold[bands.frames.clip])
    both, segments = _aligned(predicted, wanted, rows, clip, bands)
    cross, power = _cross_spectra(both, segments, group, n_groups)

    def by_group(value: Tensor) -> Tensor:
        sums = value.new_zeros(n_groups, dtype=torch.float64)
        return sums.index_add_(0, group[clip], value.double().square().sum(1))

    return Readout(
        lag_s=lag / float(bands.grid.rate_hz),
        error=by_group(wanted[rows] - predicted),
        total=by_group(wanted[rows]),
        cross=cross,
        power=power,
        mod_freq_hz=segments.mod_freq_hz,
        segment_s=segments.median_s,
        is_patch=is_patch,
    )


def _search(tokens: Tokens, bands: Bands, pairing: Pairing, clip_fold: Tensor, n_dims: int) -> int:
    """Search the lag in principal components of all frames: they decide nothing but the lag."""
    x = _whitened(tokens.values, n_dims)
    y = _whitened(bands.frames.values, _COMPONENTS)
    lags = lag_grid(float(bands.grid.rate_hz))
    return best_lag(x, y, pairing, clip_fold[tokens.clip], lags=lags, ridge=_RIDGE)


def _whitened(frames: Tensor, most: int) -> Tensor:
    centred = (frames - frames.mean(0)).double()
    axes = principal_axes(centred.T @ centred / len(centred), most)
    return (centred @ axes).float()


def _apply(frames: Tensor, mean: Tensor, weights: Tensor, fold: Tensor) -> Tensor:
    """Map every frame by the weights of its own fold."""
    out = frames.new_zeros(len(frames), weights.shape[-1])
    for k in range(len(weights)):
        held = fold == k
        out[held] = ((frames[held].double() - mean[k]) @ weights[k]).float()
    return out


def _aligned(
    predicted: Tensor, wanted: Tensor, rows: Tensor, clip: Tensor, bands: Bands
) -> tuple[Tensor, Segments]:
    """Prediction (zeros between tokens) beside reference, and the stretches where there are both.

    Both have their clip mean subtracted, so that it does not leak into the lowest frequencies.
    """
    per_token, n_clips = bands.grid.per_token, len(bands.frames.lengths)
    stuffed = torch.zeros_like(wanted)
    stuffed[rows] = per_token * (predicted - _clip_mean(predicted, clip, n_clips)[clip])
    row_clip = bands.frames.clip
    signal = wanted - _clip_mean(wanted, row_clip, n_clips)[row_clip]
    start = torch.zeros_like(bands.frames.lengths).scatter_reduce_(
        0, clip, rows, "amin", include_self=False
    )
    covered = torch.bincount(clip, minlength=n_clips) * per_token
    length = torch.minimum(covered, bands.frames.first + bands.frames.lengths - start)
    segments = cut(start, length, float(bands.grid.rate_hz))
    return torch.cat([stuffed, signal], 1), segments


def _cross_spectra(
    both: Tensor, segments: Segments, group: Tensor, n_groups: int
) -> tuple[Tensor, Tensor]:
    """Cross-spectrum and spectrum of the second half of the columns, summed over each group."""
    n_freqs, k = len(segments.mod_freq_hz), both.shape[1] // 2
    cross = torch.zeros(n_groups, n_freqs, dtype=torch.complex128)
    power = torch.zeros(n_groups, n_freqs, dtype=torch.float64)
    for part, spectra in eigenspectra(both, segments, TIME_BANDWIDTH):
        y_hat, y = spectra[:, :, :k], spectra[:, :, k:]
        owner = group[segments.clip[part]]
        cross.index_add_(0, owner, (y_hat * y.conj()).sum((1, 2)).to(torch.complex128))
        power.index_add_(0, owner, y.abs().square().sum((1, 2)).double())
    return cross, power


def _clip_mean(values: Tensor, clip: Tensor, n_clips: int) -> Tensor:
    total = values.new_zeros(n_clips, values.shape[1]).index_add_(0, clip, values)
    return total / torch.bincount(clip, minlength=n_clips)[:, None].clamp(min=1)
