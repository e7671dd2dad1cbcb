"""Does the engine find what was planted? Bias and coverage on features of known Bayes rate.

Draws many corpora with label information of known size at a known depth (`studies.planted`), puts each
through the probes and diagnostics as a run would, and counts: how far accuracy and bits are from the
truth at several sizes, and how often 95 % intervals hold it. An interval of accuracy is about the probe
that was fitted, whose own accuracy is read from fresh data; the Bayes rate is what that tends to.

    python benchmarks/known_answer.py [--runs 200] [--sizes 500 2000 8000]
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from probe_bench.diagnostics.diagnose import diagnose
from probe_bench.diagnostics.plan import make_plan
from probe_bench.evaluate import evaluate
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.convex import Fitted, fit_layers
from probe_bench.scoring import Score
from probe_bench.studies.planted import TASK, Planted, bayes_rate, information_bits, plant

SIGNALS = (0.5, 1.2, 2.0, 2.2, 2.1, 1.2)  # neighbours of the peak are close: it should not be sure
CLASSES, DIM, SHARED = 8, 32, 0.3
TEST, FRESH = 800, 50_000
LOCATED = ("depth_peak", "depth_gravity", "depth_expected")

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One corpus: what was found beside what is true.

    Attributes:
        accuracy: Value, low and high of every layer.
        own: Accuracy of the fitted probes on fresh data.
        bits: V-information of every layer.
        located: Value, low and high of every location; NaN where none was given.
        picked: Layer picked on validation data.
    """

    accuracy: Array
    own: Array
    bits: Array
    located: Array
    picked: int


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 2000, 8000])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rates = np.array([bayes_rate(signal, CLASSES) for signal in SIGNALS])
    bits = np.array([information_bits(signal, CLASSES) for signal in SIGNALS])
    print("layer        " + "".join(f"{k:>9}" for k in range(len(SIGNALS))))
    print("Bayes rate   " + "".join(f"{rate:9.4f}" for rate in rates))
    print("bits         " + "".join(f"{bit:9.3f}" for bit in bits))
    for size in arguments.sizes:
        trials = [trial(size, seed) for seed in range(arguments.runs)]
        report(size, trials, rates, bits)


def trial(size: int, seed: int) -> Trial:
    """Draw one corpus and measure it."""
    sizes = (size, max(200, size // 4), TEST)
    planted = plant(SIGNALS, sizes, n_classes=CLASSES, dim=DIM, shared=SHARED, seed=seed)
    found = evaluate(TASK, planted.corpus, planted.folds, planted, seed)
    wanted = ("v-information", "localisation")
    plan = make_plan(TASK, planted.corpus, planted.folds, planted.layers, wanted, seed=seed)
    meaning = diagnose(plan, planted, found.scores).test
    layers = [s for s in found.scores if s.layer != "best"]
    informed = [s for s in meaning if s.metric == "v_information_bits" and s.layer != "best"]
    return Trial(
        accuracy=numbers(layers),
        own=own_accuracy(planted, seed),
        bits=numbers(informed)[:, 0],
        located=numbers([s for s in meaning if s.metric in LOCATED]),
        picked=next(k for k, s in enumerate(layers) if s.chosen),
    )


def numbers(scores: Sequence[Score]) -> Array:
    """Value, low and high of each score."""
    rows = [(s.value, s.ci_low, s.ci_high) for s in scores]
    return np.array([[np.nan if x is None else x for x in row] for row in rows])


def own_accuracy(planted: Planted, seed: int) -> Array:
    """Fit the same probes again and read them on many fresh, independent units."""
    (fold,) = planted.folds
    targets = torch.tensor([int(clip.labels["class"][1:]) for clip in planted.corpus])
    train, valid = list(fold.train), list(fold.valid)
    probes: list[Fitted] = fit_layers(
        TASK.measures,
        {"logistic": ProbeConfig().clip_l2},
        train=[x[train] for x in planted.x],
        train_targets=targets[train],
        valid=[x[valid] for x in planted.x],
        valid_targets=targets[valid].numpy(),
    )["logistic"]
    generator = torch.Generator().manual_seed(10_000 + seed)
    y = torch.randint(CLASSES, (FRESH,), generator=generator)
    accuracies = []
    for probe, directions, signal in zip(probes, planted.directions, SIGNALS, strict=True):
        x = signal * directions[y].float() + torch.randn(FRESH, DIM, generator=generator)
        accuracies.append(float((probe.scores(x).argmax(1) == y).double().mean()))
    return np.array(accuracies)


def report(size: int, trials: Sequence[Trial], rates: Array, bits: Array) -> None:
    """Print bias and coverage at one size."""
    accuracy = np.stack([t.accuracy for t in trials])
    own, found = np.stack([t.own for t in trials]), np.stack([t.bits for t in trials])
    inside = (accuracy[..., 1] <= own) & (own <= accuracy[..., 2])
    of_bayes = (accuracy[..., 1] <= rates) & (rates <= accuracy[..., 2])
    print(f"\ntrain {size}, test {TEST} clips in recordings of 4, {len(trials)} corpora")
    line("accuracy less Bayes rate (points)", 100 * (accuracy[..., 0] - rates).mean(0))
    line("  of it the probe's own (points)", 100 * (own - rates).mean(0))
    line("interval holds its own accuracy %", 100 * inside.mean(0))
    line("interval holds the Bayes rate   %", 100 * of_bayes.mean(0))
    line("V-information less planted (bits)", (found - bits).mean(0))
    best = int(rates.argmax())
    print(f"picked layer is the best: {np.mean([t.picked == best for t in trials]):.0%}")
    located = np.stack([t.located for t in trials])
    fitted = np.array([places(each) for each in own])
    for k, (name, truth) in enumerate(zip(LOCATED, places(rates), strict=True)):
        value, low, high = located[:, k].T
        given = np.isfinite(value)
        held, held_own = (
            ((low <= where + 1e-9) & (where - 1e-9 <= high))[given].mean()
            for where in (np.full(len(value), truth), fitted[:, k])
        )
        print(
            f"{name}: Bayes {truth:.3f}, mean {np.nanmean(value):.3f}, interval holds that of the "
            f"fitted probes {held_own:.0%}, of Bayes {held:.0%}, mean width "
            f"{np.nanmean(high - low):.3f}, none given {(~given).mean():.0%}"
        )


def places(rates: Array) -> tuple[float, float, float]:
    """Return peak, centre of gravity and expected depth of the Bayes rates, in plain loops."""
    depths = np.arange(len(rates)) / (len(rates) - 1)
    weights = rates - rates.min()
    gains = np.diff(np.maximum.accumulate(rates))
    return (
        float(depths[rates.argmax()]),
        float((weights * depths).sum() / weights.sum()),
        float((gains * depths[1:]).sum() / gains.sum()),
    )


def line(name: str, values: Array) -> None:
    """Print one number a layer."""
    print(f"{name:34}" + "".join(f"{value:9.2f}" for value in values))


if __name__ == "__main__":
    main()
