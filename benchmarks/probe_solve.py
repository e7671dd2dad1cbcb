"""All layers x all strengths of logistic regression against scikit-learn, one problem at a time.

    python benchmarks/probe_solve.py [--samples 16000] [--dim 128] [--classes 40] [--layers 6]

Both sides run on the same features, in the same process, on the same number of threads. scikit-learn
(lbfgs) runs at `--sklearn-tol` until its objective is within 1e-6 of the better of the two; where it
is not, its row says so, and its time then flatters it. `--sklearn-layers` limits the slow side; its
time is scaled to all layers. Times are CPU seconds of the process, which other work on the machine
does not change.
"""

import argparse
import cProfile
import pstats
import time
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from probe_bench.probes.axes import principal_axes
from probe_bench.probes.logistic import LogisticPath, fit_softmax
from probe_bench.probes.standardise import fit_standardiser

STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes of the benchmark."""

    samples: int
    dim: int
    classes: int
    layers: int
    separation: float
    threads: int
    sklearn_layers: int
    sklearn_tol: float


def options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=16000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--separation", type=float, default=0.35)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sklearn-layers", type=int, default=1)
    parser.add_argument("--sklearn-tol", type=float, default=1e-6)
    return Options(**vars(parser.parse_args()))


def phone_like(
    seed: int, o: Options
) -> tuple[Float[Tensor, "samples dim"], Int[Tensor, " samples"]]:
    """Correlated features, uneven classes and class-dependent spread, standardised."""
    g = torch.Generator().manual_seed(seed)
    prior = torch.softmax(0.8 * torch.randn(o.classes, generator=g), 0)
    y = torch.multinomial(prior, o.samples, replacement=True, generator=g)
    y[: o.classes] = torch.arange(o.classes)
    spectrum = torch.arange(1, o.dim + 1) ** -0.7
    centre = o.separation * torch.randn(o.classes, o.dim, generator=g)
    spread = 0.6 + 0.8 * torch.rand(o.classes, generator=g)
    x = (centre[y] + spread[y, None] * torch.randn(o.samples, o.dim, generator=g)) * spectrum
    x = x @ torch.linalg.qr(torch.randn(o.dim, o.dim, generator=g))[0]
    return fit_standardiser(x)(x), y


def objective(weight: Tensor, intercept: Tensor, x: Tensor, y: Tensor, l2: float) -> float:
    """Evaluate the common objective in float64."""
    loss = torch.nn.functional.cross_entropy(x.double() @ weight.T + intercept, y)
    return float(loss + l2 / 2 * weight.square().sum())


def ours(data: list[tuple[Tensor, Tensor]], o: Options) -> tuple[list[LogisticPath], float]:
    """Solve everything at once, eigendecompositions included."""
    start = time.process_time()
    axes = [principal_axes(x) for x, _ in data]
    paths = fit_softmax(axes, [y for _, y in data], o.classes, STRENGTHS)
    return paths, time.process_time() - start


def sklearn_one(x: Tensor, y: Tensor, l2: float, tol: float) -> tuple[LogisticRegression, float]:
    """Solve one problem by scikit-learn's lbfgs."""
    wide, labels = x.double().numpy(), y.numpy()
    start = time.process_time()
    model = LogisticRegression(C=1 / (l2 * len(x)), tol=tol, max_iter=20000).fit(wide, labels)
    return model, time.process_time() - start


def product_rate(o: Options) -> float:
    """Measure the float32 matrix-product rate at the solver's own shape, in 1e9 flop/s."""
    x, w = torch.randn(o.samples, o.dim), torch.randn(o.classes, o.dim)
    w @ x.T
    start = time.process_time()
    for _ in range(20):
        (w @ x.T) @ x
    return 20 * 4 * x.numel() * o.classes / (time.process_time() - start) / 1e9


def main() -> None:
    """Print the table."""
    o = options()
    torch.set_num_threads(o.threads)
    data = [phone_like(seed, o) for seed in range(o.layers)]
    ours(data[:1], o)
    profile = cProfile.Profile()
    profile.enable()
    paths, seconds = ours(data, o)
    profile.disable()
    passes = sum(sum(path.passes) for path in paths)
    rate, flops = product_rate(o), 4 * o.samples * (o.dim + 1) * o.classes * passes
    print(
        f"probe-bench: {o.layers} layers x {len(STRENGTHS)} strengths in {seconds:.2f} CPU s, ",
        end="",
    )
    print(f"{passes} passes ({passes / o.layers / len(STRENGTHS):.1f} a problem), ", end="")
    print(f"{flops / seconds / 1e9:.0f} of {rate:.0f} Gflop/s measured for the bare products")
    print("layer l2       ours passes  objective   sklearn iterations  seconds  excess  same class")
    slow, fair = 0.0, True
    with threadpool_limits(o.threads):
        for layer in range(o.sklearn_layers):
            x, y = data[layer]
            for k, l2 in enumerate(STRENGTHS):
                model, taken = sklearn_one(x, y, l2, o.sklearn_tol)
                slow += taken
                path = paths[layer]
                mine = objective(path.weight[k], path.intercept[k], x, y, l2)
                coefficients = torch.tensor(model.coef_), torch.tensor(model.intercept_)
                theirs = objective(*coefficients, x, y, l2)
                same = path.scores(x)[k].argmax(1).numpy() == model.predict(x.double().numpy())
                fair = fair and theirs / mine - 1 <= 1e-6
                print(
                    f"{layer:5d} {l2:<8g} {path.passes[k]:11d}  {mine:.7f}  {model.n_iter_[0]:17d}"
                    f"  {taken:7.2f}  {theirs / mine - 1:+.1e}  {same.mean():.4%}"
                )
    scaled = slow / o.sklearn_layers * o.layers
    print(f"scikit-learn loop, scaled to {o.layers} layers: {scaled:.1f} CPU s")
    note = "" if fair else " or more (scikit-learn stopped short of the optimum)"
    print(f"ratio: {scaled / seconds:.1f}{note}")
    pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
