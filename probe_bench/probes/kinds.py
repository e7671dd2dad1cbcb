"""The probes there are: what each reads, what it gives, and which tasks it fits.

The first probe of a task gives its headline. `--probe` puts others in the place of a task's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from probe_bench.errors import UserError
from probe_bench.task import Measure, Metric, ProbeName, Task, Unit

__all__ = ["KINDS", "OWN", "Family", "Kind", "kind_of", "with_probes"]

OWN = "own"
"""Stands for a task's own probes on the command line."""

Family = Literal["linear", "neighbours", "pairs", "transcripts", "heads", "sum"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of probe.

    Attributes:
        name: Name on the command line and in the rows.
        summary: One line for `probe-bench list probes`.
        family: Which function fits and reads it (`evaluate`).
        metrics: What its predictions are scored by; empty: by the task's headline metrics.
        units: Kinds of unit it can classify.
        frames: Whether it reads all frames of a clip, also where the unit is the clip.
    """

    name: ProbeName
    summary: str
    family: Family
    metrics: tuple[Metric, ...] = ()
    units: tuple[Unit, ...] = ("clip", "frame")
    frames: bool = False

    def fits(self, task: Task) -> bool:
        """Say whether it can read the task at all."""
        match self.family:
            case "pairs":
                return any(kind_of(m.probe).family == "pairs" for m in task.measures)
            case "transcripts":
                return task.label == "phones"
            case "linear" | "neighbours" | "heads" | "sum":
                # Classes that are kept apart cannot be learnt.
                return task.unit in self.units and task.label not in task.disjoint


KINDS: tuple[Kind, ...] = (
    Kind(name="logistic", summary="logistic regression at its optimum", family="linear"),
    Kind(name="ridge", summary="ridge classifier in closed form", family="linear"),
    Kind(name="knn", summary="exact nearest neighbours by cosine", family="neighbours"),
    Kind(
        name="cosine",
        summary="pairs of clips by the cosine of pooled features",
        family="pairs",
        metrics=("eer", "mindcf"),
    ),
    Kind(
        name="plda",
        summary="pairs of clips by the likelihood ratio of a two-covariance PLDA",
        family="pairs",
        metrics=("eer", "mindcf"),
    ),
    Kind(
        name="as-norm",
        summary="pairs of clips by cosine, normalised by each clip's nearest training speakers",
        family="pairs",
        metrics=("eer", "mindcf"),
    ),
    Kind(
        name="ctc",
        summary="linear CTC phone recogniser, greedy decoding",
        family="transcripts",
        metrics=("per",),
        frames=True,
    ),
    Kind(
        name="mlp",
        summary="multi-layer perceptron on pooled clips or frames",
        family="heads",
    ),
    Kind(
        name="attentive",
        summary="learnt queries pool the frames of a clip, a linear layer reads them",
        family="heads",
        units=("clip",),
        frames=True,
    ),
    Kind(
        name="weighted-sum",
        summary="linear head on a softmax-weighted sum of all layers (SUPERB)",
        family="sum",
    ),
    Kind(
        name="ctc-beam",
        summary="the heads of ctc, decoded by prefix beam search",
        family="transcripts",
        metrics=("per",),
        frames=True,
    ),
    Kind(
        name="ctc-bilstm",
        summary="BiLSTM CTC phone recogniser, greedy decoding",
        family="transcripts",
        metrics=("per",),
        frames=True,
    ),
    Kind(
        name="ctc-bilstm-beam",
        summary="the heads of ctc-bilstm, decoded by prefix beam search",
        family="transcripts",
        metrics=("per",),
        frames=True,
    ),
)


def kind_of(name: ProbeName) -> Kind:
    """Return the kind of a probe."""
    (kind,) = (kind for kind in KINDS if kind.name == name)
    return kind


def with_probes(task: Task, names: Sequence[str]) -> Task:
    """Return a task that is read by the named probes, each once, those that do not fit left out.

    Raises:
        UserError: If none of them fits.
    """
    chosen: dict[ProbeName, Measure] = {}
    for name in names:
        if name == OWN:
            chosen.update({m.probe: m for m in task.measures if m.probe not in chosen})
            continue
        kind = next(kind for kind in KINDS if kind.name == name)
        if kind.fits(task) and kind.name not in chosen:
            chosen[kind.name] = _measure(kind, task)
    if not chosen:
        fitting = ", ".join(kind.name for kind in KINDS if kind.fits(task))
        raise UserError(
            f"task {task.name}: none of the probes {', '.join(names)} can read it; "
            f"name one of {fitting} or {OWN}, or leave the task out"
        )
    return replace(task, measures=tuple(chosen.values()))


def _measure(kind: Kind, task: Task) -> Measure:
    """Score a probe as the task does, if it names it, else by the kind's or headline metrics."""
    own = next((m for m in task.measures if m.probe == kind.name), None)
    return own or Measure(probe=kind.name, metrics=kind.metrics or task.measures[0].metrics)
