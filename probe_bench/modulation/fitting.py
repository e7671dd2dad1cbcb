"""The readout of a layer: at which lag, over which folds, in which components, by which weights.

Made once a layer; everything that is read from the layer starts from it.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.modulation.lag import LagSearch, lag_grid
from probe_bench.modulation.moments import CrossFit, cross_fit, fold_moments, whitening
from probe_bench.modulation.pairing import Pairing, pair
from probe_bench.modulation.reference import Bands
from probe_bench.modulation.tokens import Tokens

__all__ = ["RIDGE", "TOKENS_PER_DIM", "Fitted", "fit_readout", "fold_of_group", "whitened"]

RIDGE = 1e-3
_COMPONENTS = 12
_DIMS = 96
_PATCH_DIMS = 160
_SEARCH_DIMS = 48  # enough to tell lags apart
_PATCH_ROWS = 4  # tokens of four or more reference rows hold several instants each
TOKENS_PER_DIM = 10  # a readout of more dimensions learns its training tokens by heart


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """Cross-fitted readout of the reference's components from the tokens of a layer.

    Attributes:
        tokens: Frames of the layer.
        bands: Reference frames.
        group: Group of every clip.
        n_groups: Number of groups.
        clip_fold: Fold of every clip; no group is in two.
        pairing: How tokens fall on reference rows.
        search: Finds the lag of any track from the moments of the tokens.
        lag: Best lag in reference rows.
        rows: Reference row of every token that has one at the best lag.
        paired: Those tokens.
        weights: One readout per held-out fold.
        is_patch: Tokens span four or more reference rows.
    """

    tokens: Tokens
    bands: Bands
    group: Int[Tensor, " clips"]
    n_groups: int
    clip_fold: Int[Tensor, " clips"]
    pairing: Pairing
    search: LagSearch
    lag: int
    rows: Int[Tensor, " paired"]
    paired: Int[Tensor, " paired"]
    weights: CrossFit
    is_patch: bool

    @property
    def rate_hz(self) -> float:
        """Reference rows per second."""
        return float(self.bands.grid.rate_hz)

    @cached_property
    def fold(self) -> Int[Tensor, " tokens"]:
        """Fold of every token."""
        return self.clip_fold[self.tokens.clip]

    @cached_property
    def projected(self) -> Float[Tensor, "folds tokens dims"]:
        """All tokens in the whitened components of the training tokens of every held-out fold."""
        fit, x = self.weights, self.tokens.values
        axes = fit.whiten.permute(1, 0, 2).flatten(1)
        # One product for all folds; centring afterwards, by the mean's own projection.
        offset = torch.einsum("fd,fdk->fk", fit.x_mean, fit.whiten)
        z: Tensor = (x @ axes.to(x)).view(len(x), *offset.shape) - offset.to(x)
        return z.transpose(0, 1)

    @cached_property
    def components(self) -> Float[Tensor, "rows components"]:
        """All reference rows in the components of their fold."""
        values = self.bands.frames.values
        return self.in_components(values, torch.arange(len(values), device=values.device))

    def in_components(
        self, bands: Float[Tensor, "some bands"], rows: Int[Tensor, " some"]
    ) -> Float[Tensor, "some components"]:
        """Map bands of some rows to the unit-variance components of their fold's training rows."""
        fold = self.clip_fold[self.bands.frames.clip[rows]]
        return by_fold(bands, self.weights.y_mean, self.weights.axes, fold)

    @cached_property
    def predicted(self) -> Float[Tensor, "paired components"]:
        """Held-out predictions of those components from every paired token."""
        x, fold = self.tokens.values[self.paired], self.fold[self.paired]
        return by_fold(x, self.weights.x_mean, self.weights.weights, fold)


def fold_of_group(size: Float[Tensor, " groups"], n_folds: int) -> Int[Tensor, " groups"]:
    """Deal groups to folds, the largest first, each to the fold that is emptiest so far."""
    fold = torch.zeros(len(size), dtype=torch.long)
    filled = [0.0] * n_folds
    for group in size.argsort(descending=True, stable=True).tolist():
        emptiest = filled.index(min(filled))
        fold[group] = emptiest
        filled[emptiest] += float(size[group])
    return fold


def fit_readout(
    tokens: Tokens, bands: Bands, group: Int[Tensor, " clips"], *, n_groups: int, n_folds: int = 5
) -> Fitted:
    """Find the lag and fit, cross-fitted over folds that share no group.

    Args:
        tokens: Frames of one layer, per-position mean subtracted.
        bands: Reference frames of the same clips.
        group: Group of every clip.
        n_groups: Number of groups.
        n_folds: Most folds; never more than there are groups.
    """
    n_folds = min(n_folds, n_groups)
    size = torch.bincount(group, weights=tokens.lengths.cpu().double(), minlength=n_groups)
    clip_fold = fold_of_group(size, n_folds)[group]
    pairing = pair(tokens, bands)
    is_patch = bands.grid.per_token >= _PATCH_ROWS
    n_dims = _PATCH_DIMS if is_patch else min(_DIMS, len(tokens.values) // TOKENS_PER_DIM)
    # Principal components of all frames: they decide nothing but the lag.
    search = LagSearch(
        whitened(tokens, n_dims if is_patch else min(n_dims, _SEARCH_DIMS)),
        pairing,
        clip_fold[tokens.clip],
        lags=lag_grid(float(bands.grid.rate_hz)),
        ridge=RIDGE,
    )
    lag = search.best(whitened(bands.frames, _COMPONENTS))
    rows, inside = (part[:, 0] for part in pairing.rows(torch.tensor([lag])))
    x, y = tokens.values[inside], bands.frames.values
    moments = fold_moments(x, y[rows[inside]], clip_fold[tokens.clip[inside]], n_folds)
    return Fitted(
        tokens=tokens,
        bands=bands,
        group=group,
        n_groups=n_groups,
        clip_fold=clip_fold,
        pairing=pairing,
        search=search,
        lag=lag,
        rows=rows[inside],
        paired=inside.nonzero()[:, 0],
        weights=cross_fit(moments, dims=n_dims, components=_COMPONENTS, ridge=RIDGE),
        is_patch=is_patch,
    )


def by_fold(
    frames: Float[Tensor, "frames dim"],
    mean: Float[Tensor, "folds dim"],
    weights: Float[Tensor, "folds dim components"],
    fold: Int[Tensor, " frames"],
) -> Float[Tensor, "frames components"]:
    """Map every frame by the weights of its own fold."""
    out = frames.new_zeros(len(frames), weights.shape[-1])
    for k in range(len(weights)):
        held = fold == k
        out[held] = ((frames[held].double() - mean[k]) @ weights[k]).float()
    return out


def whitened(frames: Tokens, most: int) -> Float[Tensor, "frames components"]:
    """Return the first principal components of frames, each of unit variance."""
    centred = (frames.values - frames.values.mean(0)).double()
    return (centred @ whitening(*frames.principal, most)).float()
