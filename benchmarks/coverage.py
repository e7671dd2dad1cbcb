"""How often 95 % intervals hold the truth, and how often corrected tests err or find.

    python benchmarks/coverage.py [--simulations 2000] [--worlds map per ...] [--clusters 8 24 72]

Each world draws clusters (speakers, recordings) of uneven size (log-normal, about 8 units, cv .6) with
a random effect of their own, and scores of two layers that share 70 % of every effect; the second is
a little better. `icc` is the share of variance between clusters. New clusters and sizes every 25
simulations, new resamples with them; truth is the mean over 300,000 units or more. `percentile` is
what `bootstrap` did before: percentiles of the replicates at widened levels. A coverage of 95 % has a
Monte Carlo error of .5 points at 2,000 simulations. Trials are capped at 20,000.

Tests: 13 layers against a 14th, accuracy .7, 70 % shared, 24 clusters; any rejection where all are
equal is an error of the family; power is the share of 3 better layers that is found.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy import stats
from torch import Tensor

from probe_bench import metrics
from probe_bench.bootstrap import cluster_weights, limits
from probe_bench.comparison import Difference, compare
from probe_bench.probes.verification import make_trials
from probe_bench.replicates import Resamples, replicates
from probe_bench.task import Metric

PER_DESIGN, SHARED, DIM = 25, 0.7, 16
Sizes = Int[np.ndarray, " clusters"]


class Drawn(NamedTuple):
    """Predictions of all layers in all simulations of one design, as `replicates` takes them."""

    metric: Metric
    targets: Shaped[np.ndarray, "units ..."]
    predicted: Shaped[np.ndarray, "layers simulations units ..."]
    cluster: Int[np.ndarray, " units"]
    other: Int[np.ndarray, " units"] | None = None


World = Callable[[np.random.Generator, int, Sizes, float, Sequence[float]], Drawn]


def sizes(rng: np.random.Generator, n_clusters: int) -> Sizes:
    """Units of each cluster."""
    return np.clip(rng.lognormal(np.log(8), 0.6, n_clusters).round(), 2, 60).astype(int)


def effects(
    rng: np.random.Generator, n_layers: int, n: int, size: Sizes, icc: float
) -> Float[np.ndarray, "layers simulations units"]:
    """Unit-variance noise of clusters and units, partly shared by the layers."""

    def noise(length: int) -> Float[np.ndarray, "layers simulations length"]:
        common, own = (
            rng.standard_normal((1, n, length)),
            rng.standard_normal((n_layers, n, length)),
        )
        return np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own

    return np.sqrt(icc) * np.repeat(noise(len(size)), size, 2) + np.sqrt(1 - icc) * noise(
        size.sum()
    )


def _clusters(size: Sizes) -> Int[np.ndarray, " units"]:
    return np.repeat(np.arange(len(size)), size)


def _column(shifts: Sequence[float]) -> Float[np.ndarray, "layers 1 1"]:
    return np.asarray(shifts)[:, None, None]


def accuracy(level: float) -> World:
    """One class; a unit is right where its noise stays below a level."""

    def world(
        rng: np.random.Generator, n: int, size: Sizes, icc: float, shifts: Sequence[float]
    ) -> Drawn:
        limit = stats.norm.ppf(level) + _column(shifts)
        wrong = effects(rng, len(shifts), n, size, icc) > limit
        return Drawn("accuracy", np.zeros(size.sum(), int), wrong.astype(int), _clusters(size))

    return world


def uar(
    rng: np.random.Generator, n: int, size: Sizes, icc: float, shifts: Sequence[float]
) -> Drawn:
    """Four classes of uneven size and difficulty."""
    target = rng.choice(4, size.sum(), p=[0.4, 0.3, 0.2, 0.1])
    target[:4] = range(4)
    limit = np.array([0.8, 0.3, 0.0, -0.3])[target] + _column(shifts)
    right = effects(rng, len(shifts), n, size, icc) < limit
    return Drawn("uar", target, np.where(right, target, (target + 1) % 4), _clusters(size))


def ranked(metric: Metric) -> World:
    """Four tags, each on 15 % of the units; a cluster shifts the scores of each tag."""

    def world(
        rng: np.random.Generator, n: int, size: Sizes, icc: float, shifts: Sequence[float]
    ) -> Drawn:
        member = rng.random((size.sum(), 4)) < 0.15
        noise = np.stack([effects(rng, len(shifts), n, size, icc) for _ in range(4)], -1)
        lift = (1.2 + _column(shifts)[..., None]) * member
        return Drawn(metric, member, noise + lift, _clusters(size))

    return world


def per(
    rng: np.random.Generator, n: int, size: Sizes, icc: float, shifts: Sequence[float]
) -> Drawn:
    """Errors in clips of 10 to 50 phones, for `targets` and `predicted` phones and errors."""
    phones = rng.integers(10, 50, size.sum())
    share = stats.norm.cdf(-0.8 - _column(shifts) + effects(rng, len(shifts), n, size, icc) / 2)
    return Drawn("per", phones, rng.binomial(phones, share), _clusters(size))


def eer(*, even: bool) -> World:
    """Cosines of speaker vectors with noise, of which speakers have more or less.

    Target trials of a speaker go with the square of its clips: `even` gives all speakers eight.
    """

    def world(
        rng: np.random.Generator, n: int, size: Sizes, icc: float, shifts: Sequence[float]
    ) -> Drawn:
        cluster = _clusters(np.full_like(size, 8) if even else size)
        trials = make_trials([str(c) for c in cluster], [str(k) for k in range(len(cluster))])
        first, second = trials.first.numpy(), trials.second.numpy()
        spread = np.exp(np.sqrt(icc) / 2 * rng.standard_normal((n, len(size))))[:, cluster, None]
        speaker = rng.standard_normal((n, len(size), DIM))[:, cluster]
        common = rng.standard_normal((n, len(cluster), DIM))
        scores = np.empty((len(shifts), n, len(first)), np.float32)
        for layer, shift in enumerate(shifts):
            own = rng.standard_normal(common.shape)
            noise = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own
            x = speaker + (0.9 - shift / 2) * spread * noise
            x = (x / np.linalg.norm(x, axis=2, keepdims=True)).astype(np.float32)
            for k in range(n):  # a simulation at a time, for memory
                scores[layer, k] = np.einsum("td,td->t", x[k, first], x[k, second])
        return Drawn("eer", trials.same.numpy(), scores, cluster[first], cluster[second])

    return world


WORLDS: dict[str, World] = {
    "accuracy .7": accuracy(0.7),
    "accuracy .97": accuracy(0.97),
    "uar": uar,
    "map": ranked("map"),
    "macro_auc": ranked("macro_auc"),
    "per": per,
    "eer even": eer(even=True),
    "eer uneven": eer(even=False),
}


def measure(
    drawn: Drawn, weights: Float[Tensor, "rows clusters"]
) -> Float[Tensor, "layers n rows"]:
    """Resample one design."""
    other = None if drawn.other is None else torch.from_numpy(drawn.other)
    resamples = Resamples.of(weights, torch.from_numpy(drawn.cluster), other)
    flat = drawn.predicted.reshape(-1, *drawn.predicted.shape[2:])
    if drawn.metric == "per":  # errors are drawn, not transcripts
        only = torch.zeros_like(resamples.cluster)
        counts = np.concatenate([drawn.targets[None], flat]).astype(float)
        sums = resamples.cluster_sums(torch.from_numpy(counts), only, 1)[..., 0]
        values = metrics.ratio(sums[1:], sums[0], weights)
    else:
        values = replicates([drawn.metric], drawn.targets, flat, resamples)[drawn.metric]
    return values.view(*drawn.predicted.shape[:2], -1)


def simulate(
    world: World, n: int, n_clusters: int, icc: float, shifts: Sequence[float], resamples: int
) -> tuple[Metric, Float[Tensor, "layers n rows"]]:
    """Draw and resample `n` simulations."""
    rng, names = np.random.default_rng(n_clusters), [str(k) for k in range(n_clusters)]
    found = []
    for design in range(n // PER_DESIGN):
        drawn = world(rng, PER_DESIGN, sizes(rng, n_clusters), icc, shifts)
        found.append(measure(drawn, cluster_weights(design, "", "", names, resamples)))
    return drawn.metric, torch.cat(found, 1)


def covered(low: Float[Tensor, " n"], high: Float[Tensor, " n"], truth: float) -> str:
    """Format coverage and mean width."""
    inside = (low <= truth) & (truth <= high)
    return (
        f"{100 * float(inside.double().mean()):6.1f} %  width {float((high - low).nanmean()):.3f}"
    )


def percentile(
    values: Float[Tensor, "n rows"], n_clusters: int
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Take the interval of the percentiles at widened levels, for comparison."""
    wide = stats.t.ppf(0.975, n_clusters - 1) * np.sqrt(n_clusters / (n_clusters - 1))
    low, high = torch.nanquantile(
        values[:, 1:], values.new_tensor(stats.norm.cdf([-wide, wide])), dim=1
    )
    return low, high


def coverage(name: str, n: int, clusters: Sequence[int], resamples: int) -> None:
    """Print the rows of one world."""
    shifts = (0.0, 0.15)
    for icc in (0.05, 0.4):
        large = simulate(WORLDS[name], 40 * PER_DESIGN, 300, icc, shifts, 0)[1][..., 0]
        first, second = large.mean(1).tolist()
        for n_clusters in clusters:
            metric, values = simulate(WORLDS[name], n, n_clusters, icc, shifts, resamples)
            one, other = values
            scale, biased = metrics.SCALES[metric], metric in metrics.BIASED
            columns = [
                covered(*limits(one, n_clusters, scale, biased=biased), first),
                covered(*percentile(one, n_clusters), first),
                covered(*limits(other - one, n_clusters, "plain"), second - first),
            ]
            print(f"{name:<13}{icc:>5}{n_clusters:>6}  {first:.3f}", *columns, sep="  ", flush=True)


def families(n: int, resamples: int) -> None:
    """Print errors of the family and power of each correction."""
    print(f"\n13 layers against a 14th: rejections at 5 % in {n} simulations, 24 clusters")
    for label, better in (("all equal", 0), ("3 of 13 better", 3)):
        shifts = [0.3] * better + [0.0] * (14 - better)
        _, values = simulate(accuracy(0.7), n, 24, 0.2, shifts, resamples)
        found = [compare(v[:-1], v[-1:].expand(13, -1), 24) for v in values.transpose(0, 1)]
        for correction, p_of in CORRECTIONS.items():
            p = np.array([[p_of(each) for each in family] for family in found])
            rejected = p < 0.05
            power = f", power {100 * rejected[:, :better].mean():.1f} %" if better else ""
            wrong = 100 * rejected[:, better:].any(1).mean()
            print(
                f"  {label:<16}{correction:<12} family-wise error {wrong:4.1f} %{power}", flush=True
            )


CORRECTIONS: dict[str, Callable[[Difference], float]] = {
    "none": lambda d: d.p or 0.0,
    "Bonferroni": lambda d: 13 * (d.p or 0.0),
    "Holm": lambda d: d.p_holm or 0.0,
    "max-T": lambda d: d.p_max_t or 0.0,
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--clusters", type=int, nargs="+", default=[8, 24, 72])
    parser.add_argument(
        "--worlds", nargs="*", choices=[*WORLDS, "tests"], default=[*WORLDS, "tests"]
    )
    o = parser.parse_args()
    torch.set_num_threads(1)
    print("world          icc  clusters truth  interval", "percentile", "difference", sep=" " * 14)
    for name in o.worlds:
        if name != "tests":
            coverage(name, o.simulations, o.clusters, o.resamples)
    if "tests" in o.worlds:
        families(o.simulations, o.resamples)


if __name__ == "__main__":
    main()
