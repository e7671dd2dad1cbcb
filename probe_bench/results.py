"""From what was measured to result rows and prediction files."""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probe_bench.confusions import confusions
from probe_bench.encoder import Layer
from probe_bench.geometry.results import Finding
from probe_bench.lineup import Contestant
from probe_bench.modulation.findings import findings
from probe_bench.modulation.results import CurvePoint, Emphasis, Estimate, LayerModulation
from probe_bench.rows import Row, file_name
from probe_bench.scoring import Predictions, Score

__all__ = [
    "Stamp",
    "chance_rows",
    "geometry_rows",
    "modulation_rows",
    "task_rows",
    "weight_rows",
    "write_confusions",
    "write_predictions",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamp:
    """What every row of a run carries."""

    run_id: str
    seed: int


def task_rows(
    scores: Iterable[Score],
    contestant: Contestant,
    task: str,
    corpus: str,
    stamp: Stamp,
    *,
    split: str = "test",
) -> Iterator[Row]:
    """Turn the scores of one encoder on one task into rows."""
    layers = {layer.name: layer for layer in contestant.layers}
    for score in scores:
        yield Row(
            run_id=stamp.run_id,
            encoder=contestant.name,
            **(_numbers(score) | _place(layers.get(score.layer), score.layer)),
            corpus=corpus,
            task=task,
            split=split,
            role=contestant.role,
            seed=stamp.seed,
        )


def _numbers(score: Score) -> dict[str, Any]:
    """Return what a row says of a score: all but its resamples."""
    names = (field.name for field in fields(score) if field.name != "replicates")
    return {name: getattr(score, name) for name in names}


def chance_rows(scores: Iterable[Score], task: str, corpus: str, stamp: Stamp) -> Iterator[Row]:
    """Turn the scores of the best guess without looking into rows."""
    for score in scores:
        yield Row(
            run_id=stamp.run_id,
            encoder="",
            **(_numbers(score) | _NOWHERE),
            corpus=corpus,
            task=task,
            split="test",
            role="chance",
            seed=stamp.seed,
        )


def weight_rows(
    found: Iterable[Predictions], contestant: Contestant, task: str, corpus: str, stamp: Stamp
) -> Iterator[Row]:
    """Turn the weights of layers in a weighted sum into rows, one a layer."""
    layers = {layer.name: layer for layer in contestant.layers}
    for predictions in found:
        for name, weight in predictions.layer_weights:
            yield Row(
                run_id=stamp.run_id,
                encoder=contestant.name,
                **_place(layers[name]),
                corpus=corpus,
                task=task,
                unit=predictions.unit,
                probe=predictions.probe,
                setting="",
                split="train",
                metric="layer_weight",
                value=weight,
                ci_low=None,
                ci_high=None,
                n=0,
                n_groups=0,
                chosen=False,
                role=contestant.role,
                censored=False,
                seed=stamp.seed,
            )


def modulation_rows(
    found: Sequence[LayerModulation], contestant: Contestant, corpus: str, stamp: Stamp
) -> Iterator[Row]:
    """Turn the modulation analysis of one encoder into rows."""
    for layer in found:

        def row(
            metric: str,
            estimate: Estimate,
            probe: str,
            setting: str = "",
            *,
            layer: LayerModulation = layer,
            units: tuple[int, int] = (layer.n_clips, layer.n_groups),
        ) -> Row:
            return Row(
                run_id=stamp.run_id,
                encoder=contestant.name,
                **_place(layer.layer),
                corpus=corpus,
                task="modulation",
                unit="clip",
                probe=probe,
                setting=setting,
                split="all",
                metric=metric,
                value=estimate.value,
                ci_low=estimate.ci_low,
                ci_high=estimate.ci_high,
                n=units[0],
                n_groups=units[1],
                chosen=False,
                role=contestant.role,
                censored=estimate.censored,
                seed=stamp.seed,
            )

        support, speed = layer.support, layer.speed
        yield row("support_hz", support.hz, "readout", _reason(support.reason))
        total = replace(support.hz, ci_low=support.total_low_hz, ci_high=support.total_high_hz)
        yield row("support_total_hz", total, "readout", _reason(support.reason))
        yield row("support_low_hz", support.low_hz, "readout")
        yield row("support_r2", support.r2, "readout")
        yield row("support_lag_s", Estimate(value=support.lag_s), "readout")
        yield row("speed_hz", speed.hz, "spectrum", _reason(speed.reason))
        curves = (("support_gain", "readout", support.gain), ("speed_psd", "spectrum", speed.psd))
        for metric, probe, points in curves:
            for point in points:
                yield row(metric, _estimate(point), probe, _at(point))
        if layer.emphasis:
            units = (layer.emphasis.n_clips, layer.emphasis.n_groups)
            for metric, estimate, setting in _emphasis_rows(layer.emphasis):
                yield row(metric, estimate, "ripples", setting, units=units)
        for more in findings(layer):
            setting = ";".join(filter(None, (more.setting, _reason(more.reason))))
            yield row(more.metric, more.estimate, more.probe, setting)


def _emphasis_rows(emphasis: Emphasis) -> Iterator[tuple[str, Estimate, str]]:
    """Return metric, number and setting of every row of an emphasis."""
    gain, whitened = emphasis.weighted, emphasis.whitened
    yield "emphasis_hz", gain.hz, _reason(gain.reason)
    total = replace(gain.hz, ci_low=gain.total_low_hz, ci_high=gain.total_high_hz)
    yield "emphasis_total_hz", total, _reason(gain.reason)
    yield "emphasis_whitened_hz", whitened.hz, _reason(whitened.reason)
    yield "emphasis_excess", Estimate(value=gain.excess), ""
    for point in gain.curve:
        yield "emphasis_gain", _estimate(point), _at(point)


def _at(point: CurvePoint) -> str:
    """Say in the setting where a point of a curve stands."""
    return f"mod_freq_hz={point.mod_freq_hz:.4g}"


def geometry_rows(
    found: Iterable[Finding], contestant: Contestant, corpus: str, stamp: Stamp
) -> Iterator[Row]:
    """Turn what the geometry analysis found of one encoder into rows."""
    for finding in found:
        yield Row(
            run_id=stamp.run_id,
            encoder=contestant.name,
            **_place(finding.layer),
            corpus=corpus,
            task="geometry",
            unit=finding.unit,
            probe=finding.probe,
            setting=finding.setting,
            split="all",
            metric=finding.metric,
            value=finding.number.value,
            ci_low=finding.number.low,
            ci_high=finding.number.high,
            n=finding.n,
            n_groups=finding.n_groups,
            chosen=False,
            role=contestant.role,
            censored=False,
            seed=stamp.seed,
        )


def _reason(reason: str) -> str:
    """Say in the setting why a number is missing."""
    return f"reason={reason.replace(';', ',')}" if reason else ""


def _estimate(point: CurvePoint) -> Estimate:
    """Return a point of a curve as an estimate."""
    return Estimate(value=point.value, ci_low=point.ci_low, ci_high=point.ci_high)


_NOWHERE: dict[str, Any] = {"layer": "", "depth": None, "dim": None, "frame_rate_hz": None}


def _place(layer: Layer | None, name: str = "") -> dict[str, Any]:
    """Return the columns that say where in the encoder a number was read; no layer has a name only."""
    if layer is None:
        return _NOWHERE | {"layer": name}
    return {
        "layer": layer.name,
        "depth": layer.depth,
        "dim": layer.dim,
        "frame_rate_hz": float(layer.frame_rate_hz),
    }


def write_predictions(
    found: Iterable[Predictions], encoder: str, task: str, corpus: str, folder: Path
) -> None:
    """Write `TASK.CORPUS.ENCODER.PROBE.csv.gz`: a line a unit, a column a layer.

    A line holds the clip (both clips of a trial; the time of a frame), the independent unit it
    belongs to and the target; tags have a line for every clip and class, and scores for values.
    """
    for predictions in found:
        stem = f"{task}.{corpus}.{file_name(encoder)}.{predictions.probe}.csv.gz"
        with (
            (folder / stem).open("wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        ):
            table = _prediction_table(predictions)
            table.to_csv(packed, index=False, float_format="%.6g", lineterminator="\n")


def write_confusions(
    found: Iterable[Predictions], encoder: str, task: str, corpus: str, folder: Path
) -> None:
    """Write `TASK.CORPUS.ENCODER.PROBE.csv`: what is taken for what at the picked layer."""
    for predictions in found:
        table = confusions(predictions)
        if table is not None:
            stem = f"{task}.{corpus}.{file_name(encoder)}.{predictions.probe}.csv"
            table.to_csv(folder / stem, index=False, lineterminator="\n")


def _prediction_table(predictions: Predictions) -> pd.DataFrame:
    """Lay predictions out with a column a layer."""
    are_classes = predictions.predicted.dtype.kind == "i"  # else scores, or phone strings
    table = pd.DataFrame({"clip": predictions.clip_ids, "group": predictions.clusters})
    for name, values in (
        ("other_clip", predictions.other_ids),
        ("other_group", predictions.other_clusters),
        ("time_s", predictions.time_s),
    ):
        if values is not None:
            table[name] = values
    targets, predicted = predictions.targets, predictions.predicted
    if targets.ndim == 2:
        repeated = table.loc[table.index.repeat(targets.shape[1])].reset_index(drop=True)
        table = repeated.assign(tag=np.tile(predictions.classes, len(targets)))
        targets, predicted = targets.reshape(-1), predicted.reshape(len(predicted), -1)
    names = np.array([*predictions.classes, ""], dtype=object)  # -1: a class that train lacks
    table["target"] = names[targets] if are_classes else targets
    for layer, values in zip(predictions.layers, predicted, strict=True):
        table[layer] = names[values] if are_classes else values
    return table
