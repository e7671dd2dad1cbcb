"""What the diagnostics of one task need whatever the encoder: units, blocks, control labels, sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from probe_bench.corpus import Corpus
from probe_bench.diagnostics.acoustic import acoustic_types, control_labels
from probe_bench.diagnostics.alphabet import encode
from probe_bench.diagnostics.blocks import Nested, nest
from probe_bench.encoder import Layer
from probe_bench.probes.classify import known_classes
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.units import Units, task_units, thin
from probe_bench.splits import Fold
from probe_bench.task import Measure, Metric, Task

__all__ = ["Control", "FoldPlan", "Plan", "dimensions", "make_plan"]

_FEWEST_DIMENSIONS = 8


@dataclass(frozen=True, kw_only=True)
class Control:
    """Control labels of one fold, as `encode` gives them.

    Attributes:
        train: Of the training units.
        test: Of the test units.
        n_types: Acoustic types behind them.
        seen: Share of test units whose type has a training unit.
    """

    train: Shaped[Tensor, "train ..."]
    test: Shaped[Tensor, "test ..."]
    n_types: int
    seen: float


@dataclass(frozen=True, kw_only=True)
class FoldPlan:
    """One fold's units, targets, blocks and control labels; `None` where not wanted."""

    train: Units
    valid: Units
    test: Units
    targets: Mapping[str, Shaped[Tensor, "units ..."]]
    nested: Nested
    control: Control | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One task on one corpus.

    Attributes:
        task: The task.
        corpus: Its clips.
        classes: All classes, those of train first.
        folds: One plan a fold; none where the labels give a part no units.
        dims: Principal components to compare encoders at; empty where not wanted.
        wanted: Diagnostics asked for.
        l2: Strengths.
        seed: Seed of the run.
    """

    task: Task
    corpus: Corpus
    classes: tuple[str, ...]
    folds: tuple[FoldPlan, ...]
    dims: tuple[int, ...]
    wanted: frozenset[str]
    l2: tuple[float, ...]
    seed: int

    @property
    def measure(self) -> Measure:
        """The logistic probe with its metrics, else the task's first."""
        logistic = (m for m in self.task.measures if m.probe == "logistic")
        return next(logistic, self.task.measures[0])

    @property
    def metric(self) -> Metric:
        """What the probe is scored by."""
        return self.measure.metrics[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of the numbers should know."""
        said = [note for fold in self.folds for note in fold.nested.notes if self.coded]
        said += [
            f"control task: {fold.control.n_types} acoustic types, "
            f"{fold.control.seen:.0%} of test units have one that train has"
            for fold in self.folds[:1]
            if fold.control
        ]
        return tuple(dict.fromkeys(said))

    @property
    def coded(self) -> bool:
        """Whether the code length is wanted."""
        return "code-length" in self.wanted


def make_plan(
    task: Task,
    corpus: Corpus,
    folds: Sequence[Fold],
    layers: Sequence[Layer],
    wanted: Sequence[str],
    *,
    seed: int,
    config: ProbeConfig | None = None,
) -> Plan:
    """Prepare the diagnostics of one task, once for all encoders.

    Reads the audio of the clips if selectivity is wanted.

    Args:
        task: Task.
        corpus: Clips that carry its label.
        folds: Clip indices of train, valid and test.
        layers: All layers of all encoders; the smallest bounds the matched dimension.
        wanted: Names out of `DIAGNOSTICS`.
        seed: Seed of the run.
        config: Strengths and sizes; the defaults if None.
    """
    config = config or ProbeConfig()
    probed = any(measure.probe == "logistic" for measure in task.measures)
    parts = [_units(task, corpus, fold, seed, config) for fold in folds if probed]
    if not parts or not all(len(units) for part in parts for units in part):
        parts = []
    classes = known_classes([part[0] for part in parts], [u for part in parts for u in part])
    fewest = min((len(train) for train, _, _ in parts), default=0)
    return Plan(
        task=task,
        corpus=corpus,
        classes=classes,
        folds=tuple(
            _fold_plan(task, corpus, part, classes, (seed, number), wanted)
            for number, part in enumerate(parts)
        ),
        dims=dimensions(layers, task, fewest) if "dimension" in wanted else (),
        wanted=frozenset(wanted),
        l2=config.clip_l2 if task.unit == "clip" else config.frame_l2,
        seed=seed,
    )


def dimensions(layers: Sequence[Layer], task: Task, n_train: int) -> tuple[int, ...]:
    """Powers of two from 8 to the size of the smallest layer; clips have mean and std of each."""
    sizes = [layer.dim * (2 if task.unit == "clip" else 1) for layer in layers]
    most = min([*sizes, max(n_train - 1, 0)])
    return tuple(1 << power for power in range(3, most.bit_length()))


def _units(
    task: Task, corpus: Corpus, fold: Fold, seed: int, config: ProbeConfig
) -> tuple[Units, Units, Units]:
    """Return the very units that the headline probe is fitted, chosen and tested on."""
    train, valid, test = (
        task_units(task, corpus, part) for part in (fold.train, fold.valid, fold.test)
    )
    if task.unit == "clip":
        return train, valid, test
    train = thin(train, config.max_train_frames, seed)
    return train, thin(valid, config.max_valid_frames, seed), test


def _fold_plan(
    task: Task,
    corpus: Corpus,
    part: tuple[Units, Units, Units],
    classes: tuple[str, ...],
    draw: tuple[int, int],
    wanted: Sequence[str],
) -> FoldPlan:
    train, valid, test = part
    key = [*draw, corpus.name, task.name]
    control = _control(corpus, train, test, classes, key) if "selectivity" in wanted else None
    return FoldPlan(
        train=train,
        valid=valid,
        test=test,
        targets={
            name: encode(units.labels, classes)
            for name, units in (("train", train), ("valid", valid), ("test", test))
        },
        nested=nest(_groups(task, corpus, train), train.clip, key),
        control=control,
    )


def _control(
    corpus: Corpus, train: Units, test: Units, classes: tuple[str, ...], key: Sequence[object]
) -> Control:
    types, test_types = acoustic_types(corpus, train, test, key)
    n_types = int(max(types.max(), test_types.max())) + 1
    drawn = control_labels(types, train.labels, n_types, key)
    train_labels, test_labels = (
        tuple(drawn[t] for t in some.tolist()) for some in (types, test_types)
    )
    return Control(
        train=encode(train_labels, classes),
        test=encode(test_labels, classes),
        n_types=n_types,
        seen=float(np.isin(test_types, types).mean()),
    )


def _groups(task: Task, corpus: Corpus, units: Units) -> Shaped[np.ndarray, " units"]:
    """Group of each unit that the task's parts may not share; without a label, its clip."""
    name = task.disjoint[0] if task.disjoint else ""
    groups = np.array([c.labels.get(name, f"clip {c.id}") for c in corpus.clips])
    own: Shaped[np.ndarray, " units"] = groups[units.clip]
    return own
