"""All fits of one fold, and what they say of the blocks to be coded and of the test units."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped

from probe_bench.diagnostics.alphabet import known, uniform_bits
from probe_bench.diagnostics.fits import Ground, Probe, fit, lay_out, refit
from probe_bench.diagnostics.plan import FoldPlan, Plan
from probe_bench.features import Features
from probe_bench.probes.units import gather, stream

__all__ = ["CONTROL", "WHOLE", "Point", "Readings", "read_fold"]

_GROUP_BYTES = 1 << 30  # training features of the layers that are solved together


class Point(NamedTuple):
    """One fit of every layer: `fraction` of the training units, `dim` components, or `control`."""

    kind: str
    size: float


CONTROL = Point("control", 0)
WHOLE = Point("fraction", 1.0)


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What the fits of one fold say.

    Attributes:
        predicted: Test predictions of each point, as metrics take them, `layers units ...`.
        strengths: Strength of each point and layer.
        sizes: Training units of each point.
        test_bits: Bits of each layer and test unit by the fit on all of train.
        prior_bits: Bits of each test unit by the frequencies in train alone.
        code_bits: Bits of each layer and training unit in the online code; None where not wanted.
    """

    predicted: dict[Point, Shaped[np.ndarray, "layers units ..."]] = field(default_factory=dict)
    strengths: dict[Point, tuple[float, ...]] = field(default_factory=dict)
    sizes: dict[Point, int] = field(default_factory=dict)
    test_bits: Float[np.ndarray, "layers test"]
    prior_bits: Float[np.ndarray, " test"]
    code_bits: Float[np.ndarray, "layers train"] | None


@dataclass(frozen=True, kw_only=True)
class _LayerReadings:
    predicted: dict[Point, Shaped[np.ndarray, "units ..."]]
    strengths: dict[Point, float]
    test_bits: Float[np.ndarray, " test"]
    code_bits: Float[np.ndarray, " train"] | None


def read_fold(plan: Plan, fold: FoldPlan, features: Features) -> Readings:
    """Fit everything that a plan asks for on one fold and read it."""
    found: dict[int, _LayerReadings] = {}
    for group in _layer_groups(features, len(fold.train)):
        ground = lay_out(
            [gather(features, layer, fold.train) for layer in group],
            [gather(features, layer, fold.valid) for layer in group],
            fold.targets["train"],
            fold.targets["valid"],
            len(plan.classes),
        )
        nested = _nested(plan, fold, ground)
        points = _points(plan, fold, ground, nested)
        for local, layer in enumerate(group):
            own = {point: probes[local] for point, probes in points.items()}
            predicted, test_bits = _read_test(features, layer, fold, ground, local, own)
            found[layer] = _LayerReadings(
                predicted=predicted,
                strengths={point: probe.l2 for point, probe in own.items()},
                test_bits=test_bits,
                code_bits=_code(fold, ground, local, nested) if plan.coded else None,
            )
    return _together(plan, fold, [found[layer] for layer in range(len(features.layers))])


def _nested(plan: Plan, fold: FoldPlan, ground: Ground) -> list[list[Probe]]:
    """Fit on the units of every fraction, or on all alone if that serves."""
    sizes = fold.nested.sizes
    if not plan.wanted & {"code-length", "sample-size"}:
        return [fit(ground, plan.l2)]
    order = torch.from_numpy(fold.nested.order).to(ground.targets.device)
    parts = [order[:size] for size in sizes[:-1]]
    return [*(fit(ground, plan.l2, rows=rows) for rows in parts), fit(ground, plan.l2)]


def _points(
    plan: Plan, fold: FoldPlan, ground: Ground, nested: Sequence[list[Probe]]
) -> dict[Point, list[Probe]]:
    """Name the fits that are read on test."""
    points = {WHOLE: nested[-1]}
    if "sample-size" in plan.wanted:
        named = zip(fold.nested.fractions, fold.nested.sizes, nested, strict=True)
        enough = {Point("fraction", f): probes for f, n, probes in named if n >= len(plan.classes)}
        points = enough | points
    points |= {Point("dim", dim): fit(ground, plan.l2, width=dim) for dim in plan.dims}
    if fold.control is not None:
        control = replace(ground, targets=fold.control.train.to(ground.targets.device))
        points[CONTROL] = refit(control, nested[-1], plan.l2)
    return points


def _code(
    fold: FoldPlan, ground: Ground, local: int, nested: Sequence[list[Probe]]
) -> Float[np.ndarray, " train"]:
    """Code every block by the probe fitted on the blocks before it, the first uniformly."""
    order = torch.from_numpy(fold.nested.order).to(ground.targets.device)
    bits = torch.empty(len(order), dtype=torch.float64, device=order.device)
    edges = (0, *fold.nested.sizes)
    bits[order[: edges[1]]] = uniform_bits(ground.targets, ground.n_classes)
    for start, stop, probes in zip(edges[1:], edges[2:], nested, strict=False):
        rows, probe = order[start:stop], probes[local]
        logits = probe.logits(ground.axes[local].coordinates[rows])
        bits[rows] = probe.known.bits(logits, ground.targets[rows])
    return bits.cpu().numpy()


def _read_test(
    features: Features,
    layer: int,
    fold: FoldPlan,
    ground: Ground,
    local: int,
    probes: Mapping[Point, Probe],
) -> tuple[dict[Point, Shaped[np.ndarray, "units ..."]], Float[np.ndarray, " units"]]:
    """Stream the test units of one layer once, through all of its probes in one product."""
    axes, standardise = ground.axes[local], ground.standardisers[local]
    # Fold the rotation into the weights: W (V' (x - m)) + b = (W V') x + (b - W V' m).
    rotated = [p.weight @ axes.basis[:, : p.weight.shape[1]].T for p in probes.values()]
    weight = torch.cat(rotated)
    offset = torch.cat([p.intercept for p in probes.values()]) - weight @ axes.mean
    widths = [len(p.intercept) for p in probes.values()]
    targets = fold.targets["test"].to(weight.device)
    predicted: dict[Point, list[np.ndarray]] = {point: [] for point in probes}
    bits = []
    for rows, x in stream(features, layer, fold.test):
        logits = standardise(x) @ weight.float().T + offset.float()
        for (point, probe), own in zip(probes.items(), torch.split(logits, widths, 1), strict=True):
            predicted[point].append(probe.known.predicted(own).cpu().numpy())
            if point == WHOLE:
                bits.append(probe.known.bits(own, targets[rows]).cpu().numpy())
    joined = {point: np.concatenate(parts) for point, parts in predicted.items()}
    return joined, np.concatenate(bits)


def _together(plan: Plan, fold: FoldPlan, layers: Sequence[_LayerReadings]) -> Readings:
    first, whole = layers[0], len(fold.train)
    sizes = dict(zip(fold.nested.fractions, fold.nested.sizes, strict=True))
    return Readings(
        predicted={p: np.stack([layer.predicted[p] for layer in layers]) for p in first.predicted},
        strengths={p: tuple(layer.strengths[p] for layer in layers) for p in first.strengths},
        sizes={p: sizes[p.size] if p.kind == "fraction" else whole for p in first.predicted},
        test_bits=np.stack([layer.test_bits for layer in layers]),
        prior_bits=_prior(plan, fold),
        code_bits=np.stack([layer.code_bits for layer in layers if layer.code_bits is not None])
        if plan.coded
        else None,
    )


def _prior(plan: Plan, fold: FoldPlan) -> Float[np.ndarray, " test"]:
    seen = known(fold.targets["train"], len(plan.classes))
    return seen.prior_bits(fold.targets["test"]).numpy()


def _layer_groups(features: Features, n_units: int) -> Iterator[list[int]]:
    """Layers of equal size that are solved together, within the memory that a solve may take."""
    dims = [layer.dim for layer in features.layers]
    for dim in dict.fromkeys(dims):
        alike = [k for k, other in enumerate(dims) if other == dim]
        size = max(1, _GROUP_BYTES // max(1, 4 * n_units * 2 * dim))
        yield from (alike[i : i + size] for i in range(0, len(alike), size))
