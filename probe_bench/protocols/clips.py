"""Labels of clips by a protocol: heads or neighbours on pooled features, fold after fold."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from probe_bench.corpus import Corpus
from probe_bench.features import Features, pooled_of
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.judging import Judge, classification_losses
from probe_bench.probes.standardise import fit_standardiser
from probe_bench.probes.stitching import FoldPredictions, largest_index, only_best, stitch
from probe_bench.probes.units import Units
from probe_bench.probes.weighted_sum import summable
from probe_bench.probes.work import Readings, Work, plan_work
from probe_bench.protocols.labels import as_classes, metric_of
from probe_bench.protocols.parts import divide
from probe_bench.protocols.protocol import Heads, Protocol, Sizes, Variant
from probe_bench.protocols.superb import WeightedHead
from probe_bench.protocols.training import Candidate, Regime, Trained, train
from probe_bench.scoring import Predictions
from probe_bench.splits import Fold
from probe_bench.task import Task

__all__ = ["SUM", "read_clips"]

SUM = "sum"
"""Stands for the name of a layer where all are summed."""

_NEIGHBOURS, _TEMPERATURE = 10, 0.07  # of X-ARES
_UNITS_AT_ONCE = 1024


def read_clips(
    protocol: Protocol,
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    *,
    seed: int,
) -> list[Predictions]:
    """Fit every variant of a protocol on a task whose units are clips, and predict the test clips.

    Args:
        protocol: The protocol.
        task: Task of clips.
        corpus: Clips that carry the task's label.
        folds: Parts that share nothing they must not; `fold:K` parts of the corpus, or one split.
        features: Cached features, clips numbered as in `corpus`.
        seed: Seed of the run; weights, order and parts follow the protocol's own.

    Returns:
        One set of predictions a variant, `best` alone; none where a part has no clips.
    """
    task, corpus = as_classes(task, corpus)
    variants = protocol.clips(len(folds) > 1, task.label == "tags")
    found = (_variant(protocol, v, task, corpus, folds, features, seed) for v in variants)
    return [predictions for predictions in found if predictions]


def _variant(
    protocol: Protocol,
    variant: Variant,
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    seed: int,
) -> Predictions | None:
    drawn = divide(folds, variant, variant.heads.regime.seed if variant.heads else 0)
    metric = metric_of(task)
    works = plan_work(task, corpus, drawn, features, metric, seed=seed, config=ProbeConfig())
    if not works:
        return None
    layers = summable(features) if protocol.sums_layers else [len(features.layers) - 1]
    source = _Source(layers=layers, sums=protocol.sums_layers, standardises=protocol.standardises)
    heads = variant.heads
    parts = [_by_neighbours(work, source, variant) for work in works] if heads is None else []
    weights: list[float] = []
    if heads:
        parts, weights = _by_heads(works, source, heads, once=variant.grid_once)
    stitched = stitch(
        parts,
        probe=variant.name,
        unit=task.unit,
        metric=metric,
        layers=(SUM if protocol.sums_layers else features.layers[-1].name,),
        classes=works[0].coding.classes,
        corpus=corpus,
        task=task,
    )
    names = [features.layers[k].name for k in layers]
    return replace(
        only_best(stitched),
        layer_weights=tuple(zip(names, weights, strict=True)) if weights else (),
    )


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What heads read of a clip: the means of some layers, or of one."""

    layers: Sequence[int]
    sums: bool
    standardises: bool

    def read(self, features: Features, units: Units) -> Float[Tensor, "units ..."]:
        """Return `units layers dim`, or `units dim` of a single layer."""
        clips, dim = units.clip.tolist(), features.layers[self.layers[0]].dim
        means = [pooled_of(features, layer, clips)[:, :dim] for layer in self.layers]
        return torch.stack(means, 1) if self.sums else means[0]

    def sizes(self, work: Work) -> Sizes:
        """Return what decides the shape of a head."""
        dim = work.features.layers[self.layers[0]].dim
        return Sizes(layers=len(self.layers), dim=dim, classes=len(work.coding.columns))


def _by_heads(
    works: Sequence[Work], source: _Source, heads: Heads, *, once: bool
) -> tuple[list[FoldPredictions], list[float]]:
    """Train and read the heads of every fold; also the mean weights of the layers, where they are summed."""
    parts, mixes, setting = [], [], ""
    for work in works:
        candidates = heads.candidates(source.sizes(work))
        if once and setting:
            candidates = [each for each in candidates if each.setting == setting]
        best, predicted = _fold(work, source, candidates, heads.regime)
        setting = best.candidate.setting
        said = f"{setting};epoch={best.epoch}"
        parts.append(work.record([predicted], [said], [best.value]))
        if isinstance(best.module, WeightedHead):
            mixes.append(best.module.mix.detach().softmax(0))
    return parts, torch.stack(mixes).mean(0).tolist() if mixes else []


def _fold(
    work: Work, source: _Source, candidates: Sequence[Candidate], regime: Regime
) -> tuple[Trained, Readings]:
    """Train on one fold, choose on its validation clips, and predict its test clips."""
    x, valid = (source.read(work.features, units) for units in (work.train, work.valid))
    form = fit_standardiser(x) if source.standardises else _as_it_is
    problem = _Problem(
        x=form(x), targets=work.targets(x.device), valid=form(valid), judge=work.judge()
    )
    trained = train(candidates, problem, regime, x.device)
    best = trained[largest_index([each.value for each in trained])]

    def score(features: Features) -> Iterable[Float[Tensor, "1 _ classes"]]:
        with torch.no_grad():
            for block in torch.split(form(source.read(features, work.test)), _UNITS_AT_ONCE):
                yield best.module(block).unsqueeze(0)

    return best, work.predict(problem.judge, score)


def _as_it_is(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return x


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """Clips of one fold."""

    x: Float[Tensor, "units ..."]
    targets: Shaped[Tensor, "units ..."]
    valid: Float[Tensor, "held_out ..."]
    judge: Judge

    def __len__(self) -> int:
        return len(self.x)

    def read(self, units: Int[Tensor, " batch"]) -> Float[Tensor, "batch ..."]:
        return self.x[units.to(self.x.device)]

    def losses(
        self, outputs: Float[Tensor, "heads batch classes"], units: Int[Tensor, " batch"]
    ) -> Float[Tensor, " heads"]:
        return classification_losses(outputs, self.targets[units.to(self.targets.device)])

    def values(
        self, forward: Callable[[Float[Tensor, "batch ..."]], Float[Tensor, "heads batch classes"]]
    ) -> list[float]:
        blocks = torch.split(self.valid, _UNITS_AT_ONCE)
        predicted = [self.judge.predict(forward(block)) for block in blocks]
        return self.judge.values(np.concatenate(predicted, axis=1))


def _by_neighbours(work: Work, source: _Source, variant: Variant) -> FoldPredictions:
    """Let the ten nearest training clips vote (X-ARES: weights exp(s / 0.07))."""
    over = 0 if variant.fault else 1  # the published code normalises the wrong axis
    keys = normalize(source.read(work.features, work.train), dim=over)
    classes = one_hot(work.targets(keys.device), len(work.coding.columns)).float()
    k = min(_NEIGHBOURS, len(keys))

    def score(features: Features) -> Iterator[Float[Tensor, "1 _ classes"]]:
        for block in torch.split(source.read(features, work.test), _UNITS_AT_ONCE):
            similarity, neighbour = (normalize(block) @ keys.T).topk(k)
            votes = (similarity / _TEMPERATURE).softmax(1).unsqueeze(2) * classes[neighbour]
            yield votes.sum(1).unsqueeze(0)

    predicted = work.predict(work.judge(), score)
    return work.record([predicted], [f"k={k};temperature={_TEMPERATURE:g}"], [0.0])
