"""All resamples of all layers against a loop over them, metric by metric, with peak memory.

    python benchmarks/bootstrap_speed.py [--clips 10000] [--layers 13] [--resamples 2000] [--clusters 1000]

The loop takes one layer and one resample at a time: scikit-learn's `average_precision_score`,
`roc_auc_score` and `roc_curve` with the resample's weights as sample weights; accuracy, UAR and error
rate, for which scikit-learn's checks would cost more than the sums, in plain numpy. `--looped` pairs
of a layer and a resample are timed (fewer where there are many classes), compared with ours, and
scaled. Ours is timed whole, from predictions to intervals. Phones are compared and counted once on
either side, outside both times. Times are CPU seconds on one thread; memory is what the process holds at most
above what it held before.
"""

import argparse
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from unittest import mock

import numpy as np
import torch
from jaxtyping import Float, Shaped
from measuring import peak_memory, timed
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor

from probe_bench import metrics
from probe_bench import replicates as replicating
from probe_bench.bootstrap import cluster_weights, intervals
from probe_bench.replicates import Resamples, replicates
from probe_bench.task import Metric

N_TRIALS, N_PHONES = 20_000, 30
Array = Shaped[np.ndarray, "..."]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table."""

    name: str
    metric: Metric
    targets: Shaped[np.ndarray, "units ..."]
    predicted: Shaped[np.ndarray, "layers units ..."]
    loop: Callable[..., float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--looped", type=int, default=40)
    o = parser.parse_args()
    torch.set_num_threads(1)
    names = [str(k) for k in range(o.clusters)]
    weights: list[Float[Tensor, "rows clusters"]] = []
    draw = timed(lambda: weights.append(cluster_weights(0, "", "", names, o.resamples)), "cpu")
    print(f"{o.layers} layers, {o.clips} clips, {o.resamples} resamples of {o.clusters} clusters")
    print(f"resamples drawn once for all metrics, layers and encoders: {draw.cpu:.3f} s")
    print(f"{'metric':<22}{'loop, scaled':>13}{'ours':>11}{'ratio':>9}{'peak memory':>13}")
    for case in cases(o.clips, o.layers):
        print(row(case, weights[0], o.looped), flush=True)


def cases(n: int, n_layers: int) -> list[Case]:
    """Make up predictions for every metric."""
    rng = np.random.default_rng(0)
    ten = rng.integers(0, 10, n)
    guesses = np.where(rng.random((n_layers, n)) < 0.6, ten, rng.integers(0, 10, (n_layers, n)))
    few, many = np.eye(10, dtype=bool)[ten], rng.random((n, 527)) < 0.005
    few_scores = rng.standard_normal((n_layers, n, 10)) + 1.5 * few
    many_scores = rng.standard_normal((n_layers, n, 527), dtype=np.float32) + 1.5 * many
    same = rng.random(N_TRIALS) < 0.5
    trials = rng.standard_normal((n_layers, N_TRIALS)) + 1.5 * same
    phones = rng.choice(list("abcdefgh"), (n, N_PHONES))
    heard = np.where(rng.random((n_layers, n, N_PHONES)) < 0.7, phones, "x")
    words = np.array([" ".join(p) for p in phones], dtype=object)
    heard_words = np.array([[" ".join(p) for p in layer] for layer in heard], dtype=object)
    return [
        Case(name="accuracy", metric="accuracy", targets=ten, predicted=guesses, loop=_accuracy),
        Case(name="uar, 10 classes", metric="uar", targets=ten, predicted=guesses, loop=_uar),
        Case(name="per", metric="per", targets=words, predicted=heard_words, loop=_per),
        Case(name="map, 10", metric="map", targets=few, predicted=few_scores, loop=_map),
        Case(
            name="macro_auc, 10", metric="macro_auc", targets=few, predicted=few_scores, loop=_auc
        ),
        Case(name="map, 527", metric="map", targets=many, predicted=many_scores, loop=_map),
        Case(
            name="macro_auc, 527",
            metric="macro_auc",
            targets=many,
            predicted=many_scores,
            loop=_auc,
        ),
        Case(name="eer, 20,000 trials", metric="eer", targets=same, predicted=trials, loop=_eer),
    ]


def row(case: Case, weights: Float[Tensor, "rows clusters"], looped: int) -> str:
    """Time one metric on both sides."""
    rng = np.random.default_rng(1)
    n_rows, n_clusters = weights.shape
    cluster = rng.integers(0, n_clusters, len(case.targets))
    other = cluster
    if case.metric == "eer":
        other = np.where(case.targets, cluster, rng.integers(0, n_clusters, len(case.targets)))
    found: list[Float[Tensor, "layers rows"]] = []

    def ours() -> None:
        resamples = Resamples.of(weights, torch.from_numpy(cluster), torch.from_numpy(other))
        values = replicates([case.metric], case.targets, case.predicted, resamples)[case.metric]
        intervals(values, n_clusters, metrics.SCALES[case.metric])
        found.append(values)

    predicted = case.predicted
    with contextlib.ExitStack() as stack:
        if case.metric == "per":
            errors = metrics.phone_errors(
                case.targets.tolist() * len(predicted), predicted.ravel().tolist()
            )
            predicted = errors.reshape(predicted.shape)
            phones = torch.full((len(case.targets),), N_PHONES, dtype=torch.float64)
            counted = (torch.from_numpy(predicted).double(), phones)
            stack.enter_context(
                mock.patch.object(replicating, "_errors_and_phones", return_value=counted)
            )
        peak = stack.enter_context(peak_memory("cpu"))
        ours()  # the loop has warmed up after its first resample, too
        mib = peak()
        seconds = timed(ours, "cpu").cpu

    n_classes = case.targets.shape[1] if case.targets.ndim == 2 else 1
    looped = max(looped * 10 // max(n_classes, 10), 3)
    picks = rng.integers(0, [[len(predicted)], [n_rows]], (2, looped)).T
    slow: list[float] = []

    def loop() -> None:
        for layer, k in picks:
            unit_weights = _units(weights[k].numpy(), cluster, other)
            slow.append(case.loop(case.targets, predicted[layer], unit_weights))

    scaled = timed(loop, "cpu").cpu / looped * len(predicted) * (n_rows - 1)
    # roc_curve has one threshold more than speechbrain's EER.
    tolerance = 1e-3 if case.metric == "eer" else 1e-9
    np.testing.assert_allclose(found[0].numpy()[picks[:, 0], picks[:, 1]], slow, atol=tolerance)
    return f"{case.name:<22}{scaled:>11.1f} s{seconds:>9.3f} s{scaled / seconds:>8,.0f}x{mib:>9.0f} MiB"


def _units(
    w: Float[np.ndarray, " clusters"],
    one: Shaped[np.ndarray, " units"],
    other: Shaped[np.ndarray, " units"],
) -> Float[np.ndarray, " units"]:
    return w[one] if one is other else np.where(one == other, w[one], w[one] * w[other])


def _accuracy(target: Array, predicted: Array, w: Array) -> float:
    return float(w @ (predicted == target) / w.sum())


def _uar(target: Array, predicted: Array, w: Array) -> float:
    hits = np.bincount(target, w * (predicted == target))
    return float(np.nanmean(hits / np.bincount(target, w)))


def _per(_: Array, errors: Array, w: Array) -> float:
    return float(w @ errors / (w.sum() * N_PHONES))


def _map(member: Array, scores: Array, w: Array) -> float:
    columns = zip(member.T, scores.T, strict=True)
    return float(np.mean([average_precision_score(m, s, sample_weight=w) for m, s in columns]))


def _auc(member: Array, scores: Array, w: Array) -> float:
    columns = zip(member.T, scores.T, strict=True)
    return float(np.mean([roc_auc_score(m, s, sample_weight=w) for m, s in columns]))


def _eer(same: Array, scores: Array, w: Array) -> float:
    accepted, hit, _ = roc_curve(same, scores, sample_weight=w, drop_intermediate=False)
    best = np.argmin(np.abs(accepted - (1 - hit)))
    return float(accepted[best] + 1 - hit[best]) / 2


if __name__ == "__main__":
    main()
