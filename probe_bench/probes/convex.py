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
from probe_bench.probes.logistic import fit_one_vs_rest, fit_softmax
from probe_bench.probes.ridge import fit_ridge, signed_targets
from probe_bench.probes.standardise import Standardiser, fit_standardiser
from probe_bench.probes.stitching import best_index
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
        measures: Probes (`logistic`, `ridge`); the first metric of each chooses its strength.
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
    axes = [principal_axes(x) for x in standardised]
    chosen: dict[str, list[Fitted]] = {}
    for measure in measures:
        paths = _fit(measure.probe, axes, standardised, train_targets, l2[measure.probe])
        chosen[measure.probe] = [
            _choose(measure.metrics[0], s, path, x, valid_targets)
            for s, path, x in zip(standardisers, paths, valid, strict=True)
        ]
    return chosen


def predict(
    scores: Float[Tensor, "units classes"], *, multi_label: bool
) -> Shaped[np.ndarray, "units ..."]:
    """Turn linear scores into what metrics take: class indices, or the scores themselves."""
    if multi_label:
        return scores.double().cpu().numpy()
    return scores.argmax(1).cpu().numpy()


def _fit(
    probe: str,
    axes: list[Axes],
    train: list[Float[Tensor, "_ _"]],
    targets: Tensor,
    l2: tuple[float, ...],
) -> Sequence[LinearPath]:
    device = train[0].device
    target = targets.to(device)
    if target.dim() == 2:
        target = target.float()
        if probe == "logistic":
            return fit_one_vs_rest(axes, [target] * len(axes), l2)
        return _ridge(axes, train, target * 2 - 1, l2)
    n_classes = int(target.max()) + 1
    if probe == "logistic":
        return fit_softmax(axes, [target] * len(axes), n_classes, l2)
    return _ridge(axes, train, signed_targets(target, n_classes), l2)


def _ridge(
    axes: list[Axes], train: list[Float[Tensor, "_ _"]], targets: Tensor, l2: tuple[float, ...]
) -> list[LinearPath]:
    return [fit_ridge(a, x, targets, l2) for a, x in zip(axes, train, strict=True)]


def _choose(
    metric: Metric,
    standardiser: Standardiser,
    path: LinearPath,
    valid: Float[Tensor, "units dim"],
    targets: Shaped[np.ndarray, "units ..."],
) -> Fitted:
    multi_label = targets.ndim == 2
    scores = path.scores(standardiser(valid))
    values = [plain_value(metric, targets, predict(s, multi_label=multi_label)) for s in scores]
    best = best_index(metric, values)
    return Fitted(
        standardiser=standardiser, path=path.at(best), l2=path.l2[best], valid_value=values[best]
    )
