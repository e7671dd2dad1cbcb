"""All layers x all strengths of logistic regression against the same problems one after another.

    python benchmarks/probe_solve.py [--layers 13] [--strengths 10] [--samples 50000] [--dim 768]
        [--classes 40] [--device cpu] [--other sklearn]

The other side is scikit-learn's lbfgs in a loop or, on any device, torch's L-BFGS in a loop. Both sides
run on the same features, in the same process, on the same number of threads, to the same objective:
the other side stops (torch) or is tightened (scikit-learn, `--sklearn-tol`) until it is within 1e-6 of
the better of the two; where it is not, its row says so, and its time then flatters it.

`--other-layers` and `--other-strengths` limit the slow side: strengths are spread evenly over the path,
the seconds of those between are interpolated (geometrically), and all is scaled to all layers.
"""

import argparse
import cProfile
import math
import pstats
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from solving import measured, phone_like, product_rate
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from probe_bench.probes.axes import principal_axes
from probe_bench.probes.logistic import LogisticPath, fit_softmax

_CLOSE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes of the benchmark."""

    layers: int
    strengths: int
    samples: int
    dim: int
    classes: int
    separation: float
    weakest: float
    threads: int
    device: str
    other: str
    other_layers: int
    other_strengths: int
    sklearn_tol: float
    profile: bool

    @property
    def l2(self) -> tuple[float, ...]:
        """Strengths from 1 down."""
        return tuple(np.geomspace(1.0, self.weakest, self.strengths).tolist())

    @property
    def where(self) -> torch.device:
        """Device of both sides."""
        return torch.device(self.device)


def options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--strengths", type=int, default=10)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--separation", type=float, default=0.35)
    parser.add_argument("--weakest", type=float, default=1e-5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--other", choices=("sklearn", "torch"), help="default: torch on a GPU")
    parser.add_argument("--other-layers", type=int, default=1)
    parser.add_argument("--other-strengths", type=int, default=4)
    parser.add_argument("--sklearn-tol", type=float, default=1e-6)
    parser.add_argument("--profile", action="store_true")
    found = parser.parse_args()
    found.other = found.other or ("sklearn" if found.device == "cpu" else "torch")
    return Options(**vars(found))


def objective(weight: Tensor, intercept: Tensor, x: Tensor, y: Tensor, l2: float) -> float:
    """Evaluate the common objective in float64, a block of rows at a time."""
    parts = zip(x.split(4096), y.split(4096), strict=True)
    loss = sum(
        float(
            torch.nn.functional.cross_entropy(a.double() @ weight.T + intercept, b, reduction="sum")
        )
        for a, b in parts
    )
    return loss / len(x) + l2 / 2 * float(weight.square().sum())


def ours(data: list[tuple[Tensor, Tensor]], o: Options) -> list[LogisticPath]:
    """Solve everything at once, eigendecompositions included."""
    axes = [principal_axes(x) for x, _ in data]
    return fit_softmax(axes, [y for _, y in data], o.classes, o.l2)


def sklearn_one(
    x: Tensor, y: Tensor, l2: float, o: Options
) -> tuple[Tensor, Tensor, int, float, float]:
    """Solve one problem by scikit-learn's lbfgs: weights, intercepts, iterations, seconds, GB."""
    wide, labels = x.double().numpy(), y.numpy()
    model = LogisticRegression(C=1 / (l2 * len(x)), tol=o.sklearn_tol, max_iter=20000)
    _, seconds, gigabytes = measured(lambda: model.fit(wide, labels), o.where)
    return (
        torch.tensor(model.coef_),
        torch.tensor(model.intercept_),
        int(model.n_iter_[0]),
        seconds,
        gigabytes,
    )


def torch_one(
    x: Tensor, y: Tensor, l2: float, goal: float, o: Options
) -> tuple[Tensor, Tensor, int, float, float]:
    """Solve one problem by torch's L-BFGS on the device, until it is as low as `goal` or stalls."""
    weight = torch.zeros(o.classes, o.dim, device=o.where, requires_grad=True)
    intercept = torch.zeros(o.classes, device=o.where, requires_grad=True)
    passes = 0

    def closure() -> Tensor:
        nonlocal passes
        passes += 1
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weight.T + intercept, y)
        loss = loss + l2 / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser = torch.optim.LBFGS(
        [weight, intercept],
        max_iter=25,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
    )

    def solve() -> None:
        before = math.inf
        while before > goal * (1 + _CLOSE):
            now = float(optimiser.step(closure).detach())
            if now >= before:
                break
            before = now

    _, seconds, gigabytes = measured(solve, o.where)
    return weight.detach().double(), intercept.detach().double(), passes, seconds, gigabytes


def interpolated(at: list[int], seconds: list[float], count: int) -> float:
    """Sum over all strengths of seconds that are known at some, geometric in between."""
    return float(np.exp(np.interp(range(count), at, np.log(seconds))).sum())


def main() -> None:
    """Print the table."""
    o = options()
    torch.set_num_threads(o.threads)
    data = [
        tuple(t.to(o.where) for t in phone_like(seed, o.samples, o.dim, o.classes, o.separation))
        for seed in range(o.layers)
    ]
    ours([(x[:1000], y[:1000]) for x, y in data[:1]], o)  # libraries start
    rate = product_rate(o.samples, o.dim + 1, o.classes, o.where)
    profile = cProfile.Profile()
    if o.profile:
        profile.enable()
    paths, seconds, gigabytes = measured(lambda: ours(data, o), o.where)
    profile.disable()
    per_strength = np.array([path.passes for path in paths])
    flops = 4 * o.samples * (o.dim + 1) * o.classes * per_strength.sum()
    print(
        f"{o.layers} layers x {o.strengths} strengths, {o.samples} x {o.dim}, {o.classes} classes, {o.device}"
    )
    print(
        f"probe-bench: {seconds:.1f} s, {gigabytes:.2f} GB beside the features ({4e-9 * o.layers * o.samples * o.dim:.2f} GB)"
    )
    print(
        f"passes per problem: {per_strength.mean():.1f} (by strength: {', '.join(f'{p:.0f}' for p in per_strength.mean(0))})"
    )
    print(
        f"{flops / seconds / 1e9:.0f} of {rate:.0f} Gflop/s measured for the bare products: {flops / seconds / 1e9 / rate:.0%}"
    )
    print(
        "layer l2       ours passes  objective   other passes  seconds    GB   excess  same class"
    )
    at = sorted({round(k) for k in np.linspace(0, o.strengths - 1, o.other_strengths).tolist()})
    slow, fair = 0.0, True
    with threadpool_limits(o.threads):
        for layer in range(o.other_layers):
            x, y = data[layer]
            path, taken = paths[layer], []
            for k in at:
                l2 = o.l2[k]
                mine = objective(path.weight[k], path.intercept[k], x, y, l2)
                if o.other == "torch":
                    weight, bias, passes, spent, gigabytes = torch_one(x, y, l2, mine, o)
                else:
                    weight, bias, passes, spent, gigabytes = sklearn_one(x, y, l2, o)
                taken.append(spent)
                excess = objective(weight, bias, x, y, l2) / mine - 1
                fair = fair and excess <= _CLOSE
                same = path.scores(x)[k].argmax(1) == (x.double() @ weight.T + bias).argmax(1)
                print(
                    f"{layer:5d} {l2:<8.2g} {path.passes[k]:11d}  {mine:.7f}  {passes:12d}"
                    f"  {spent:7.2f}  {gigabytes:4.2f}  {excess:+.1e}  {same.double().mean():.4%}"
                )
            slow += interpolated(at, taken, o.strengths)
    scaled = slow / o.other_layers * o.layers
    print(f"the other side, scaled to {o.layers} layers x {o.strengths} strengths: {scaled:.1f} s")
    note = "" if fair else " or more (the other side stopped short of the optimum)"
    print(f"ratio: {scaled / seconds:.1f}{note}")
    if o.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
