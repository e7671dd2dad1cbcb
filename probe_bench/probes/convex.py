"""Fit the linear probes of a group of layers and keep, for each, the strength that validates best.

Nothing in here sees test data: choosing on it is impossible by construction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from probe_bench.probes.axes import Axes, principal_axes
from probe_bench.probes.linear import LinearPath
from probe_bench.probes.logistic import one_vs_rest_problems, softmax_problems
from probe_bench.probes.ridge import fit_ridge, signed_targets
from probe_bench.probes.search import Judge, search
from probe_bench.probes.standardise import Standardiser, fit_standardiser
from probe_bench.probes.stitching import largest_index
from probe_bench.scoring import plain_value
from probe_bench.task import Measure, Metric

__all__ = ["Fitted", "fit_layers", "predict"]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One layer's probe at the strength that was chosen.

    Attributes:
        standardiser: Fitted on the training features.
        path: The probe, one strength.
        l2: That strength.
        valid_value: Its metric on the validation units.
    """

    standardiser: Standardiser
    path: LinearPath
    l2: float
    valid_value: float

    def scores(self, x: Float[Tensor, "units dim"]) -> Float[Tensor, "units classes"]:
        """Return the linear scores of raw features."""
        return self.path.scores(self.standardiser(x))[0]


def fit_layers(
    measures: Sequence[Measure],
    l2: dict[str, tuple[float, ...]],
    *,
    train: Sequence[Float[Tensor, "_ _"]],
    train_targets: Tensor,
    valid: Sequence[Float[Tensor, "_ _"]],
    valid_targets: Shaped[np.ndarray, "units ..."],
) -> dict[str, list[Fitted]]:
    """Fit every linear probe on every layer at every strength; keep the best on `valid`.

    Args:
        measures: Probes (`logistic`, `ridge`); the first metric of each chooses its strength. Higher
            values of it are better.
        l2: Strengths of each probe, strongest first: of equally good ones the strongest is kept.
        train: Training features of each layer.
        train_targets: Class indices, or `units classes` membership for multi-label.
        valid: Validation features of each layer.
        valid_targets: As `train_targets`; a class unknown to training is any index beyond.

    Returns:
        The chosen probe of each layer, by probe name.
    """
    standardisers = [fit_standardiser(x) for x in train]
    standardised = [s(x) for s, x in zip(standardisers, train, strict=True)]
    held_out = [s(x) for s, x in zip(standardisers, valid, strict=True)]
    axes = [principal_axes(x) for x in standardised]
    chosen: dict[str, list[Fitted]] = {}
    for measure in measures:

        def value(layer: int, probe: LinearPath, metric: Metric = measure.metrics[0]) -> float:
            (scores,) = probe.scores(held_out[layer])
            predicted = predict(scores, multi_label=valid_targets.ndim == 2)
            return plain_value(metric, valid_targets, predicted)

        fit = _logistic if measure.probe == "logistic" else _ridge
        probes = fit(axes, standardised, train_targets, l2[measure.probe], value)
        chosen[measure.probe] = [
            Fitted(standardiser=s, path=probe, l2=probe.l2[0], valid_value=value(layer, probe))
            for layer, (s, probe) in enumerate(zip(standardisers, probes, strict=True))
        ]
    return chosen


def predict(
    scores: Float[Tensor, "units classes"], *, multi_label: bool
) -> Shaped[np.ndarray, "units ..."]:
    """Turn linear scores into what metrics take: class indices, or the scores themselves."""
    if multi_label:
        return scores.double().cpu().numpy()
    return scores.argmax(1).cpu().numpy()


def _logistic(
    axes: list[Axes],
    train: list[Float[Tensor, "_ _"]],
    targets: Tensor,
    l2: tuple[float, ...],
    value: Judge,
) -> list[LinearPath]:
    """Fit each layer at the strength that validates best; weak strengths only where they may."""
    target = targets.to(train[0].device)
    problems = (
        one_vs_rest_problems(axes, [target.float()] * len(axes))
        if target.dim() == 2
        else softmax_problems(axes, [target] * len(axes), int(target.max()) + 1)
    )
    return search(problems, l2, value)


def _ridge(
    axes: list[Axes],
    train: list[Float[Tensor, "_ _"]],
    targets: Tensor,
    l2: tuple[float, ...],
    value: Judge,
) -> list[LinearPath]:
    """Fit each layer at all strengths in closed form and keep the one that validates best."""
    target = targets.to(train[0].device)
    signed = (
        target.double() * 2 - 1
        if target.dim() == 2
        else signed_targets(target, int(target.max()) + 1)
    )
    paths = [fit_ridge(a, x, signed, l2) for a, x in zip(axes, train, strict=True)]
    return [_best(layer, path, value) for layer, path in enumerate(paths)]


def _best(layer: int, path: LinearPath, value: Judge) -> LinearPath:
    """Return the strength that validates best, the first of equal ones; undefined never wins."""
    values = [value(layer, path.at(strength)) for strength in range(len(path.l2))]
    return path.at(largest_index(values))
