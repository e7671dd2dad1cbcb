"""Fit the linear probes of a group of layers and keep, for each, the strength that validates best.

Nothing in here sees test data: choosing on it is impossible by construction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from probe_bench.probes.blocks import Blocks, Joined, as_blocks
from probe_bench.probes.linear import LinearPath
from probe_bench.probes.logistic import UNTAUGHT, one_vs_rest_problems, softmax_problems
from probe_bench.probes.prepare import Prepared, prepare
from probe_bench.probes.ridge import signed_path
from probe_bench.probes.roles import Roles
from probe_bench.probes.scratch import Room
from probe_bench.probes.search import Judge, search
from probe_bench.probes.standardise import Standardiser
from probe_bench.probes.stitching import largest_index
from probe_bench.scoring import plain_value
from probe_bench.task import Measure

__all__ = ["Fitted", "fit_folds", "fit_layers", "predict"]


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One layer's probe at the strength that was chosen.

    Attributes:
        standardiser: Fitted on the training features.
        path: The probe, one strength; a row for every class, also for those its train does not show.
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
    train: Sequence[Float[Tensor, "_ _"] | Blocks],
    train_targets: Tensor,
    valid: Sequence[Float[Tensor, "_ _"] | Blocks],
    valid_targets: Shaped[np.ndarray, "units ..."],
    room: Room | None = None,
) -> dict[str, list[Fitted]]:
    """Fit every linear probe on every layer at every strength; keep the best on `valid`.

    Args:
        measures: Probes (`logistic`, `ridge`); the first metric of each chooses its strength. Higher
            values of it are better.
        l2: Strengths of each probe, strongest first: of equally good ones the strongest is kept.
        train: Training features of each layer, all of one width: tensors, or blocks to be streamed.
        train_targets: Class indices, or `units classes` membership for multi-label.
        valid: Validation features of each layer.
        valid_targets: As `train_targets`; a class unknown to training is any index beyond.
        room: Where features that exceed memory are put.

    Returns:
        The chosen probe of each layer, by probe name.
    """
    rows = torch.cat([train_targets.cpu(), torch.from_numpy(valid_targets).to(train_targets.dtype)])
    trained = np.arange(len(rows)) < len(train_targets)
    n_classes = rows.shape[1] if rows.dim() == 2 else int(train_targets.max()) + 1
    fitted = fit_folds(
        measures,
        l2,
        layers=[
            Joined(parts=[as_blocks(x) for x in both]) for both in zip(train, valid, strict=True)
        ],
        roles=Roles(train=trained[None], valid=~trained[None]),
        targets=rows.numpy(),
        n_classes=n_classes,
        room=room or Room(),
    )
    return {probe: folds[0] for probe, folds in fitted.items()}


def fit_folds(
    measures: Sequence[Measure],
    l2: dict[str, tuple[float, ...]],
    *,
    layers: Sequence[Blocks],
    roles: Roles,
    targets: Shaped[np.ndarray, "rows ..."],
    n_classes: int,
    room: Room,
) -> dict[str, list[list[Fitted]]]:
    """Fit every linear probe on every fold of every layer in one batch; choose on each fold's valid.

    Args:
        measures: As for `fit_layers`.
        l2: As for `fit_layers`.
        layers: Features of each layer, all of one width; read twice, never held beyond `room`.
        roles: Rows that each fold trains on, and chooses by.
        targets: Class index of each row, or `rows classes` membership.
        n_classes: Classes that are fitted; an index beyond can only be an error of valid rows.
        room: Where features that exceed memory are put.

    Returns:
        The chosen probes by fold and layer, by probe name.
    """
    coded = torch.from_numpy(targets)
    inside = coded if coded.dim() == 2 else torch.where(coded < n_classes, coded, 0)
    prepared = prepare(layers, roles, inside, n_classes, room)
    placed = np.empty_like(targets)
    placed[roles.place.numpy()] = targets
    chosen: dict[str, list[list[Fitted]]] = {}
    for measure in measures:
        judge = _judge(measure, prepared, placed)
        fit = _logistic if measure.probe == "logistic" else _ridge
        probes = fit(prepared, l2[measure.probe], judge, multi_label=targets.ndim == 2)
        chosen[measure.probe] = [
            [
                _fitted(prepared, case, probes[case], judge)
                for case in range(fold, len(probes), roles.n_folds)
            ]
            for fold in range(roles.n_folds)
        ]
    return chosen


def predict(
    scores: Float[Tensor, "units classes"], *, multi_label: bool
) -> Shaped[np.ndarray, "units ..."]:
    """Turn linear scores into what metrics take: class indices, or the scores themselves."""
    if multi_label:
        return scores.double().cpu().numpy()
    return scores.argmax(1).cpu().numpy()


def _fitted(prepared: list[Prepared], case: int, probe: LinearPath, judge: Judge) -> Fitted:
    folds = len(prepared[0].folds)
    return Fitted(
        standardiser=prepared[case // folds].folds[case % folds].standardiser,
        path=probe,
        l2=probe.l2[0],
        valid_value=judge(case, probe),
    )


def _judge(
    measure: Measure, prepared: list[Prepared], targets: Shaped[np.ndarray, "rows ..."]
) -> Judge:
    """Return what scores a probe on the rows that its fold chooses by.

    A case is a layer and a fold, folds running fastest. Tags that a fold's train cannot teach are
    left out: no strength changes them.
    """
    folds = len(prepared[0].folds)
    multi_label = targets.ndim == 2
    rows = [_valid_rows(prepared[0], fold) for fold in range(folds)]

    def value(case: int, probe: LinearPath) -> float:
        layer, fold = divmod(case, folds)
        (scores,) = prepared[layer].valid_scores(fold, probe)
        predicted, wanted = predict(scores, multi_label=multi_label), targets[rows[fold]]
        if multi_label:
            share = prepared[layer].folds[fold].target_mean.cpu().numpy()
            taught = (share > 0) & (share < 1)
            predicted, wanted = predicted[:, taught], wanted[:, taught]
        return plain_value(measure.metrics[0], wanted, predicted)

    return value


def _valid_rows(prepared: Prepared, fold: int) -> Shaped[np.ndarray, " rows"]:
    segments = [s for s in prepared.design.segments if fold in s.valid]
    return np.concatenate([np.arange(s.start, s.stop) for s in segments])


def _logistic(
    prepared: list[Prepared], l2: tuple[float, ...], judge: Judge, *, multi_label: bool
) -> Sequence[LinearPath]:
    """Fit each case at the strength that validates best; weak strengths only where they may."""
    designs = [layer.design for layer in prepared]
    problems = one_vs_rest_problems(designs) if multi_label else softmax_problems(designs)
    return search(problems, l2, judge)


def _ridge(
    prepared: list[Prepared], l2: tuple[float, ...], judge: Judge, *, multi_label: bool
) -> Sequence[LinearPath]:
    """Fit each case at all strengths in closed form and keep the one that validates best."""
    axes = [fold for layer in prepared for fold in layer.folds]
    paths = [signed_path(own, l2) for own in axes]
    if not multi_label:  # a class that train does not show must never win
        for own, path in zip(axes, paths, strict=True):
            path.intercept[:, own.target_mean == 0] = -UNTAUGHT
    return [_best(case, path, judge) for case, path in enumerate(paths)]


def _best(case: int, path: LinearPath, judge: Judge) -> LinearPath:
    """Return the strength that validates best, the first of equal ones; undefined never wins."""
    values = [judge(case, path.at(strength)) for strength in range(len(path.l2))]
    return path.at(largest_index(values))
