"""k nearest neighbours on one task: nothing is fitted but mean and scale, and k is chosen on valid.

Features are standardised like those of the linear probes, and neighbours weighted by exp(cosine / .07):
on the embedded corpora that beat raw and centred features, and one vote a neighbour (docs/LOG.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.features import Features
from probe_bench.probes.coding import Coding, fold_units, known_classes, make_coding
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.neighbours import nearest, votes
from probe_bench.probes.standardise import Standardiser, fit_standardiser
from probe_bench.probes.stitching import FoldPredictions, best_index, stitch
from probe_bench.probes.units import Units, gather, stream
from probe_bench.scoring import Predictions, plain_value
from probe_bench.splits import Fold
from probe_bench.task import Measure, Metric, Task

__all__ = ["vote"]

_Plan = tuple[Units, Units, Units]


@dataclass(frozen=True, kw_only=True)
class _Memory:
    """The training units of one layer, and what they say of others.

    Attributes:
        standardiser: Fitted on them.
        keys: Their standardised features, unit vectors.
        targets: Class index of each, or `units classes` membership.
        n_classes: Number of classes.
        ks: Neighbours that vote.
        temperature: Of their weights.
    """

    standardiser: Standardiser
    keys: Float[Tensor, "units dim"]
    targets: Shaped[Tensor, "units ..."]
    n_classes: int
    ks: tuple[int, ...]
    temperature: float

    def __call__(
        self, x: Float[Tensor, "queries dim"], ks: Sequence[int]
    ) -> list[Shaped[np.ndarray, "queries ..."]]:
        """Predict raw features by each of some k: class indices, or shares of the votes for tags.

        A slow encoder's frame stands several times in a row on the grid of units: it is asked once.
        """
        new = torch.ones(len(x), dtype=torch.bool, device=x.device)
        new[1:] = (x[1:] != x[:-1]).any(1)
        found = nearest(_unit(self.standardiser, x[new]), self.keys, max(ks))
        shares = votes(*found, self.targets, self.n_classes, ks, self.temperature)
        said = shares.argmax(2).to(torch.int32) if self.targets.dim() == 1 else shares
        return list(said[:, new.cumsum(0) - 1].cpu().numpy())


def vote(
    measures: Sequence[Measure],
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    features: Features,
    *,
    seed: int,
    config: ProbeConfig,
    further: Sequence[Features] = (),
) -> list[Predictions]:
    """Classify the test units of every fold by their nearest training units, also from `further`.

    Returns:
        One set of predictions per measure; none where a part of a fold has no units.
    """
    plans = [fold_units(task, corpus, fold, seed, config) for fold in folds]
    if not all(len(units) for plan in plans for units in plan):
        return []
    trains = [train for train, _, _ in plans]
    classes = known_classes(trains, [units for plan in plans for units in plan])
    return [
        stitch(
            [_fold(measure.metrics[0], classes, plan, features, config, further) for plan in plans],
            probe=measure.probe,
            unit=task.unit,
            metric=measure.metrics[0],
            layers=tuple(layer.name for layer in features.layers),
            classes=classes,
            corpus=corpus,
            task=task,
        )
        for measure in measures
    ]


def _fold(
    metric: Metric,
    classes: tuple[str, ...],
    plan: _Plan,
    features: Features,
    config: ProbeConfig,
    further: Sequence[Features],
) -> FoldPredictions:
    train, valid, test = plan
    coding = make_coding(classes, train)
    ks, values, predicted = [], [], []
    for layer in range(len(features.layers)):
        memory = _remember(gather(features, layer, train), coding, train, config)
        k, value = _choose(memory, metric, gather(features, layer, valid), coding.targets(valid))
        ks.append(k)
        values.append(value)
        sources = (features, *further)
        predicted.append([_read(memory, k, source, layer, test) for source in sources])
    own, *others = (np.stack(layers) for layers in zip(*predicted, strict=True))
    return FoldPredictions(
        clip=test.clip,
        time_s=test.time_s,
        targets=coding.targets(test),
        predicted=own,
        settings=tuple(f"k={k}" for k in ks),
        valid_values=tuple(values),
        notes=coding.notes(test),
        further=tuple(others),
    )


def _remember(
    x: Float[Tensor, "units dim"], coding: Coding, train: Units, config: ProbeConfig
) -> _Memory:
    standardiser = fit_standardiser(x)
    return _Memory(
        standardiser=standardiser,
        keys=_unit(standardiser, x),
        targets=torch.from_numpy(coding.targets(train)).to(x.device),
        n_classes=len(coding.classes),
        ks=tuple(dict.fromkeys(min(k, len(x)) for k in config.knn_k)),
        temperature=config.knn_temperature,
    )


def _choose(
    memory: _Memory,
    metric: Metric,
    valid: Float[Tensor, "units dim"],
    targets: Shaped[np.ndarray, "units ..."],
) -> tuple[int, float]:
    """Return the k that validates best, the largest of equal ones, and its value."""
    values = [plain_value(metric, targets, each) for each in memory(valid, memory.ks)]
    best = best_index(metric, values)
    return memory.ks[best], values[best]


def _read(
    memory: _Memory, k: int, features: Features, layer: int, test: Units
) -> Shaped[np.ndarray, "units ..."]:
    """Predict all test units, streaming frames in blocks of clips."""
    read = [(places, memory(x, [k])[0]) for places, x in stream(features, layer, test)]
    first = read[0][1]
    predicted = np.empty((len(test), *first.shape[1:]), first.dtype)
    for places, block in read:
        predicted[places] = block
    return predicted


def _unit(standardiser: Standardiser, x: Float[Tensor, "units dim"]) -> Float[Tensor, "units dim"]:
    return torch.nn.functional.normalize(standardiser(x), dim=1)
