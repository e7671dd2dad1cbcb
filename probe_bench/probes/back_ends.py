"""What scores pairs of clips: cosine, AS-norm and PLDA, fitted on one layer's training clips."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probe_bench.probes.axes import principal_axes
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.plda import Moments, Plda, fit_plda, moments
from probe_bench.probes.score_norm import cohort_statistics, normalise, speaker_means
from probe_bench.probes.standardise import Standardiser, fit_standardiser
from probe_bench.probes.verification import Trials, cosine_scores
from probe_bench.task import ProbeName

__all__ = ["FITS", "BackEnd"]

_CLIPS = 4096  # clips turned into principal coordinates at once
_FLAT = 1e-11  # axes below this share of the largest variance are rounding


@runtime_checkable
class BackEnd(Protocol):
    """Scores pairs of one layer's clips at some settings, the strongest first."""

    @property
    def settings(self) -> tuple[str, ...]:
        """Write each setting as in the rows."""
        ...

    def at(self, index: int) -> "BackEnd":
        """Return it at one setting."""
        ...

    def scores(
        self, x: Float[Tensor, "clips dim"], trials: Trials
    ) -> Float[Tensor, "settings trials"]:
        """Score pairs of raw features."""
        ...


Layers = Iterable[Float[Tensor, "clips _"]]
Fit = Callable[[Layers, Int[Tensor, " clips"], ProbeConfig], Sequence[BackEnd]]
"""Fits all layers, read one at a time, given the speaker of each clip; empty where it cannot be."""


@dataclass(frozen=True, kw_only=True)
class _Cosine:
    standardiser: Standardiser
    settings: tuple[str, ...] = ("",)

    def at(self, index: int) -> "_Cosine":  # noqa: ARG002  there is only one
        return self

    def scores(
        self, x: Float[Tensor, "clips dim"], trials: Trials
    ) -> Float[Tensor, "settings trials"]:
        return cosine_scores(self.standardiser(x), trials)[None]


@dataclass(frozen=True, kw_only=True)
class _ScoreNorm:
    standardiser: Standardiser
    cohort: Float[Tensor, "speakers dim"]
    tops: tuple[int, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        return tuple(f"cohort={n}" for n in self.tops)

    def at(self, index: int) -> "_ScoreNorm":
        return replace(self, tops=(self.tops[index],))

    def scores(
        self, x: Float[Tensor, "clips dim"], trials: Trials
    ) -> Float[Tensor, "settings trials"]:
        unit = torch.nn.functional.normalize(self.standardiser(x), dim=1)
        mean, std = cohort_statistics(unit, self.cohort, self.tops)
        return normalise(cosine_scores(unit, trials), mean, std, trials)


@dataclass(frozen=True, kw_only=True)
class _Whitener:
    """Turns features into coordinates of equal variance, those of the largest axes first."""

    standardiser: Standardiser
    mean: Float[Tensor, " dim"]
    basis: Float[Tensor, "dim rank"]

    def __call__(self, x: Float[Tensor, "clips dim"]) -> Float[Tensor, "clips rank"]:
        parts = torch.split(self.standardiser(x), _CLIPS)
        return torch.cat([(part.double() - self.mean) @ self.basis for part in parts])


@dataclass(frozen=True, kw_only=True)
class _PldaBackEnd:
    whitener: _Whitener
    dims: tuple[int, ...]
    models: tuple[Plda, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        return tuple(f"dims={dims}" for dims in self.dims)

    def at(self, index: int) -> "_PldaBackEnd":
        return replace(self, dims=(self.dims[index],), models=(self.models[index],))

    def scores(
        self, x: Float[Tensor, "clips dim"], trials: Trials
    ) -> Float[Tensor, "settings trials"]:
        white = self.whitener(x)
        pairs = zip(self.dims, self.models, strict=True)
        return torch.stack([model.scores(_unit(white, dims), trials) for dims, model in pairs])


def _cosine(
    layers: Layers,
    speaker: Int[Tensor, " clips"],  # noqa: ARG001  only mean and scale are fitted
    config: ProbeConfig,  # noqa: ARG001
) -> list[_Cosine]:
    return [_Cosine(standardiser=fit_standardiser(x)) for x in layers]


def _score_norm(
    layers: Layers, speaker: Int[Tensor, " clips"], config: ProbeConfig
) -> list[_ScoreNorm]:
    """Make the cohort of every layer; a spread takes two speakers."""
    n_speakers = int(speaker.max()) + 1
    if n_speakers < 2:
        return []
    tops = (n_speakers, *(n for n in config.as_norm_top if 2 <= n < n_speakers))
    found = []
    for x in layers:
        standardiser = fit_standardiser(x)
        unit = torch.nn.functional.normalize(standardiser(x), dim=1)
        cohort = speaker_means(unit, speaker.to(x.device))
        found.append(_ScoreNorm(standardiser=standardiser, cohort=cohort, tops=tops))
    return found


def _plda(
    layers: Layers, speaker: Int[Tensor, " clips"], config: ProbeConfig
) -> list[_PldaBackEnd]:
    """Read each layer once, then solve all layers that have a number of dimensions in one batch.

    It takes two speakers, and more clips than speakers by the dimensions that are modelled.
    """
    n_speakers = int(speaker.max()) + 1
    spare = len(speaker) - n_speakers
    if n_speakers < 2 or spare < 1:
        return []
    whiteners: list[_Whitener] = []
    measured: dict[int, dict[int, Moments]] = {}
    for layer, x in enumerate(layers):
        whitener = _whiten(x, min(max(config.plda_dims), spare))
        white, rank = whitener(x), whitener.basis.shape[1]
        for dims in sorted({min(n, rank) for n in config.plda_dims}):
            own = moments(_unit(white, dims), speaker.to(x.device))
            measured.setdefault(dims, {})[layer] = own
        whiteners.append(whitener)
    models: list[dict[int, Plda]] = [{} for _ in whiteners]
    for dims, by_layer in sorted(measured.items()):
        for layer, model in zip(by_layer, fit_plda(_stacked(by_layer.values())), strict=True):
            models[layer][dims] = model
    return [
        _PldaBackEnd(whitener=whitener, dims=tuple(own), models=tuple(own.values()))
        for whitener, own in zip(whiteners, models, strict=True)
    ]


def _whiten(x: Float[Tensor, "clips dim"], most: int) -> _Whitener:
    standardiser = fit_standardiser(x)
    axes = principal_axes(standardiser(x))
    n_axes = int((axes.eigenvalues > _FLAT * axes.eigenvalues[-1:]).sum())
    keep = slice(len(axes.eigenvalues) - min(most, n_axes), None)
    basis = (axes.basis[:, keep] / axes.eigenvalues[keep].sqrt()).flip(1)
    return _Whitener(standardiser=standardiser, mean=axes.mean, basis=basis)


def _unit(white: Float[Tensor, "clips rank"], dims: int) -> Float[Tensor, "clips dims"]:
    return torch.nn.functional.normalize(white[:, :dims], dim=1)


def _stacked(some: Iterable[Moments]) -> Moments:
    """Put the moments of several layers of the same clips side by side."""
    layers = list(some)
    return Moments(
        mean=torch.stack([each.mean for each in layers]),
        within=torch.stack([each.within for each in layers]),
        between=torch.stack([each.between for each in layers]),
        count=layers[0].count,
    )


FITS: Mapping[ProbeName, Fit] = {"cosine": _cosine, "as-norm": _score_norm, "plda": _plda}
