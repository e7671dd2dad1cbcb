"""The diagnostics of one encoder on one task: readings of all folds to scores with intervals.

Bits are ratios of sums over units, so their intervals come from sums over clusters on the resamples that
every other score of the task is on; with the fits, blocks and order held fixed.

`code_length_bits` and `compression` are of the training labels, coded one block after another. In-sample
estimates of `v_information_bits` (Xu et al. 2020, arXiv 2002.10689, eq. 2) are biased up; here the probe
and the class frequencies come from train and the bits from test,

    mean log2 q(y | x) - mean log2 q(y),

so what a finite train part fails to teach is missing, and the number errs low: read it beside the
same number of a baseline. It can be negative where a probe does not carry over to test.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from probe_bench.bootstrap import Scale, cluster_weights, intervals
from probe_bench.diagnostics.alphabet import uniform_bits
from probe_bench.diagnostics.localise import localise
from probe_bench.diagnostics.plan import Plan
from probe_bench.diagnostics.readings import CONTROL, WHOLE, Point, Readings, read_fold
from probe_bench.features import Features
from probe_bench.metrics import ratio
from probe_bench.probes.stitching import BEST
from probe_bench.probes.units import Units
from probe_bench.scoring import Predictions, Score, score

__all__ = ["Diagnosis", "diagnose"]

_PROBE = "logistic"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What the diagnostics say of one encoder on one task.

    Attributes:
        test: Read on the test part.
        train: Read on the training part: the code of its labels.
        tested: Those of one number a layer, with `best`, to be compared between encoders.
    """

    test: tuple[Score, ...] = ()
    train: tuple[Score, ...] = ()

    @property
    def tested(self) -> list[Score]:
        """Scores of one number a layer, which encoders and layers may be compared by."""
        names = ("selectivity", "v_information_bits", "code_length_bits")
        return [score for score in (*self.test, *self.train) if score.metric in names]


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """What every score of the encoder carries."""

    plan: Plan
    layers: tuple[str, ...]
    chosen: tuple[bool, ...]

    def per_unit(
        self, values: Float[np.ndarray, "layers units"], clusters: Shaped[np.ndarray, " units"]
    ) -> tuple[Float[Tensor, "layers rows"], int]:
        """Mean of every layer over units, in the data and every resample; and the clusters."""
        names, index = np.unique(clusters, return_inverse=True)
        plan = self.plan
        weights = cluster_weights(plan.seed, plan.corpus.name, plan.task.name, names.tolist())
        sums = [np.bincount(index, layer, minlength=len(names)) for layer in values]
        counts = np.bincount(index, minlength=len(names)).astype(float)
        rows = ratio(torch.from_numpy(np.stack(sums)), torch.from_numpy(counts), weights)
        return rows, len(names)

    def scores(
        self,
        metric: str,
        settings: Sequence[str],
        rows: Float[Tensor, "layers rows"],
        n: int,
        n_groups: int,
        scale: Scale = "plain",
    ) -> list[Score]:
        """One number a layer, from its value and resamples."""
        return [
            Score(
                layer=self.layers[k],
                probe=_PROBE,
                setting=settings[k],
                unit=self.plan.task.unit,
                metric=metric,
                value=found.value,
                ci_low=found.low,
                ci_high=found.high,
                n=n,
                n_groups=n_groups,
                chosen=self.chosen[k],
                replicates=rows[k],
            )
            for k, found in enumerate(intervals(rows, n_groups, scale))
        ]


def diagnose(plan: Plan, features: Features, scores: Sequence[Score]) -> Diagnosis:
    """Say what one encoder's scores on one task mean.

    Args:
        plan: What all encoders share.
        features: Cached features, clips numbered as in the plan's corpus.
        scores: What `evaluate` gave: they locate the task and name the layer that was picked.
    """
    own = _headline(plan, scores)
    depths = [layer.depth for layer in features.layers]
    located = localise(own, depths) if "localisation" in plan.wanted and own else []
    if not plan.folds or plan.wanted <= {"localisation"}:
        return Diagnosis(test=tuple(located))
    bench = _Bench(
        plan=plan,
        layers=tuple(layer.name for layer in features.layers),
        chosen=tuple(score.chosen for score in own),
    )
    found = [read_fold(plan, fold, features) for fold in plan.folds]
    test: list[Score] = []
    if "selectivity" in plan.wanted:
        test += _with_best(_selectivity(bench, found))
    if "v-information" in plan.wanted:
        test += _with_best(_information(bench, found))
    test += [score for point in _curves(plan, found) for score in _at(bench, found, point)]
    return Diagnosis(test=(*test, *located), train=tuple(_code(bench, found)) if plan.coded else ())


def _headline(plan: Plan, scores: Sequence[Score]) -> list[Score]:
    """Scores of the probe that is diagnosed by its first metric, one a layer."""
    named = (plan.measure.probe, plan.metric)
    return [s for s in scores if (s.probe, s.metric) == named and s.layer != BEST]


def _curves(plan: Plan, found: Sequence[Readings]) -> list[Point]:
    """Points of the curves that every fold has."""
    kinds = {"fraction": "sample-size", "dim": "dimension"}
    points = [p for p in found[0].predicted if kinds.get(p.kind) in plan.wanted]
    return [point for point in points if all(point in each.predicted for each in found)]


def _predicted(bench: _Bench, found: Sequence[Readings], point: Point) -> list[Score]:
    """Score the predictions of one point by the probe's first metric."""
    plan = bench.plan
    parts = zip(plan.folds, found, strict=True)
    targets = [
        (f.control.test if f.control and point == CONTROL else f.targets["test"])
        for f in plan.folds
    ]
    predictions = Predictions(
        probe=_PROBE,
        unit=plan.task.unit,
        layers=bench.layers,
        settings=tuple(_strengths(found, point)),
        chosen=bench.chosen,
        classes=plan.classes,
        clip_ids=np.concatenate([f.test.clip for f in plan.folds]),
        clusters=_clusters(plan, [f.test for f in plan.folds]),
        targets=torch.cat(targets).numpy(),
        predicted=np.concatenate([each.predicted[point] for _, each in parts], axis=1),
    )
    return score(
        predictions,
        (plan.metric,),
        corpus=plan.corpus.name,
        task=plan.task.name,
        seed=plan.seed,
    )


def _at(bench: _Bench, found: Sequence[Readings], point: Point) -> list[Score]:
    """One point of a learning curve, or of the scores at equal dimension."""
    size = round(float(np.mean([each.sizes[point] for each in found])))
    if point.kind == "dim":
        name, place = "at_dim", f"pca_dim={point.size:g}"
    else:
        name, place = "at_fraction", f"fraction={point.size:g};n_train={size}"
    return [
        replace(s, metric=f"{bench.plan.metric}_{name}", setting=f"{place};{s.setting}")
        for s in _predicted(bench, found, point)
    ]


def _selectivity(bench: _Bench, found: Sequence[Readings]) -> list[list[Score]]:
    """Control score, and what the task's score at the same strength has above it: paired."""
    control = _predicted(bench, found, CONTROL)
    task = _predicted(bench, found, WHOLE)
    named = [replace(s, metric=f"control_{s.metric}") for s in control]
    rows = torch.stack([o.replicates - c.replicates for o, c in zip(task, control, strict=True)])
    settings = [f"of={one.metric};{one.setting}" for one in task]
    above = bench.scores("selectivity", settings, rows, task[0].n, task[0].n_groups)
    return [named, above]


def _information(bench: _Bench, found: Sequence[Readings]) -> list[list[Score]]:
    """V-information in bits a unit."""
    prior = np.concatenate([each.prior_bits for each in found])
    bits = np.concatenate([each.test_bits for each in found], axis=1)
    point = Point("fraction", 1.0)
    settings = [f"entropy_bits={prior.mean():.6g};{s}" for s in _strengths(found, point)]
    clusters = _clusters(bench.plan, [fold.test for fold in bench.plan.folds])
    rows, n_groups = bench.per_unit(prior - bits, clusters)
    return [bench.scores("v_information_bits", settings, rows, len(prior), n_groups)]


def _code(bench: _Bench, found: Sequence[Readings]) -> list[Score]:
    """Online code length in bits a unit, and compression against the uniform code."""
    plan = bench.plan
    coded = [each.code_bits for each in found if each.code_bits is not None]
    bits = np.concatenate(coded, axis=1)
    uniform = uniform_bits(plan.folds[0].targets["train"], len(plan.classes))
    blocks = "|".join(dict.fromkeys(str(len(fold.nested.sizes)) for fold in plan.folds))
    settings = [f"uniform_bits={uniform:.6g};blocks={blocks}"] * len(bits)
    clusters = _clusters(plan, [fold.train for fold in plan.folds])
    rows, n_groups = bench.per_unit(bits, clusters)
    length, factor = (
        bench.scores(metric, settings, values, bits.shape[1], n_groups, "log")
        for metric, values in (("code_length_bits", rows), ("compression", uniform / rows))
    )
    return _with_best([length, factor])


def _with_best(found: Sequence[list[Score]]) -> list[Score]:
    """Add `best` to every metric: the layer that most folds picked on validation data."""
    return [
        each
        for scores in found
        for each in (*scores, *(_as_best(score) for score in scores if score.chosen))
    ]


def _as_best(score: Score) -> Score:
    return replace(score, layer=BEST, setting=f"layer={score.layer};{score.setting}")


def _strengths(found: Sequence[Readings], point: Point) -> list[str]:
    """`l2=` of every layer, the folds' distinct ones joined."""
    layers = zip(*(each.strengths[point] for each in found), strict=True)
    return ["|".join(dict.fromkeys(f"l2={l2:g}" for l2 in folds)) for folds in layers]


def _clusters(plan: Plan, parts: Sequence[Units]) -> Shaped[np.ndarray, " units"]:
    """Independent unit of each unit; a clip without that label is one of its own."""
    names = [c.labels.get(plan.task.cluster, f"clip {c.id}") for c in plan.corpus.clips]
    clusters: Shaped[np.ndarray, " units"] = np.array(names)[
        np.concatenate([u.clip for u in parts])
    ]
    return clusters
