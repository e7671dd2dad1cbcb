"""Ridge regression of all layers, 20 strengths chosen by 5 folds or leave-one-out, against libraries.

    python benchmarks/ridge_solve.py [--layers 13] [--samples 50000] [--dim 768] [--classes 40]

All on the same features, threads and machine, each choosing a strength and fitting at it: ours in
closed form, himalaya's RidgeCV (5 folds; only where it is installed: it is no dependency) and
scikit-learn's RidgeCV (leave-one-out, its default, and 5 folds), a layer after another.
`--other-layers` limits the libraries; their times are scaled.
"""

import argparse
import importlib.util
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from solving import measured, phone_like
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from probe_bench.probes.blocks import as_blocks
from probe_bench.probes.linear import LinearPath
from probe_bench.probes.moments import coded, measure_moments
from probe_bench.probes.ridge_selection import k_fold_errors, select_ridge, solve_ridge

_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes of the benchmark."""

    layers: int
    strengths: int
    samples: int
    dim: int
    classes: int
    threads: int
    device: str
    other_layers: int

    @property
    def l2(self) -> tuple[float, ...]:
        """Strengths from 100 down."""
        return tuple(np.geomspace(100, 1e-5, self.strengths).tolist())


def options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--strengths", type=int, default=20)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--other-layers", type=int, default=1)
    return Options(**vars(parser.parse_args()))


def by_folds(layers: list[Tensor], y: Tensor, o: Options) -> list[LinearPath]:
    """One reading of each layer; strengths by the squared error of 5 folds, then a fit on all."""
    fold = torch.arange(o.samples) * _FOLDS // o.samples
    parts = [measure_moments(as_blocks(x), fold, _FOLDS, y, o.classes) for x in layers]
    every = torch.ones(1, _FOLDS, dtype=torch.bool)
    solved = solve_ridge([part.united(every) for part in parts], o.l2)
    errors = k_fold_errors(parts, o.l2)
    return [s.path(0).at(int(e.sum((0, 2)).argmin())) for s, e in zip(solved, errors, strict=True)]


def by_leave_one_out(layers: list[Tensor], y: Tensor, o: Options) -> list[LinearPath]:
    """Two readings of each layer; strengths by the leave-one-out error."""
    return [select_ridge(x, y, o.classes, o.l2) for x in layers]


def himalaya(x: Tensor, y: Tensor, o: Options) -> float:
    """Fit himalaya's RidgeCV to one layer, one strength for all targets; return that strength."""
    from himalaya.backend import set_backend  # type: ignore[import-not-found] # noqa: PLC0415
    from himalaya.ridge import RidgeCV as Himalaya  # type: ignore[import-not-found] # noqa: PLC0415

    set_backend("torch_cuda" if o.device == "cuda" else "torch")
    alphas = np.array(o.l2) * o.samples * (_FOLDS - 1) / _FOLDS
    model = Himalaya(
        alphas=alphas,
        cv=_FOLDS,
        fit_intercept=True,
        solver_params={"local_alpha": False, "warn": False},
    )
    model.fit(x, coded(y, o.classes).float())
    return float(model.best_alphas_[0]) / o.samples * _FOLDS / (_FOLDS - 1)


def scikit(x: Tensor, y: Tensor, o: Options, cv: int | None = None) -> float:
    """Fit scikit-learn's RidgeCV to one layer; return the strength it picks."""
    kept = 1.0 if cv is None else (cv - 1) / cv
    model = RidgeCV(alphas=np.array(o.l2) * o.samples * kept, cv=cv)
    model.fit(x.cpu().numpy(), coded(y, o.classes).float().cpu().numpy())
    return float(model.alpha_) / o.samples / kept


def main() -> None:
    """Print the table."""
    o = options()
    torch.set_num_threads(o.threads)
    device = torch.device(o.device)
    layers = [
        phone_like(seed, o.samples, o.dim, o.classes)[0].to(device) for seed in range(o.layers)
    ]
    y = phone_like(0, o.samples, o.dim, o.classes)[1].to(device)
    torch.linalg.eigh(torch.eye(64, dtype=torch.float64, device=device))  # libraries start
    print(
        f"{o.layers} layers, {o.strengths} strengths, {o.samples} x {o.dim}, {o.classes} targets, {o.device}"
    )
    folds, folds_s, folds_gb = measured(lambda: by_folds(layers, y, o), device)
    print(
        f"probe-bench, 5 folds:       {folds_s:8.2f} s, {folds_gb:.2f} GB, l2 = {folds[0].l2[0]:.2g}"
    )
    loo, loo_s, loo_gb = measured(lambda: by_leave_one_out(layers, y, o), device)
    print(f"probe-bench, leave one out: {loo_s:8.2f} s, {loo_gb:.2f} GB, l2 = {loo[0].l2[0]:.2g}")
    others = [
        ("scikit-learn, leave one out", scikit, loo_s),
        ("scikit-learn, 5 folds", partial(scikit, cv=_FOLDS), folds_s),
    ]
    if importlib.util.find_spec("himalaya"):
        others.insert(0, ("himalaya, 5 folds", himalaya, folds_s))
    with threadpool_limits(o.threads):
        for name, fit, mine in others:
            fit(layers[0][:500], y[:500], o)  # libraries start
            chosen, seconds, gigabytes = measured(
                lambda fit=fit: [fit(x, y, o) for x in layers[: o.other_layers]],  # type: ignore[misc]
                device if fit is himalaya else torch.device("cpu"),
            )
            scaled = seconds / o.other_layers * o.layers
            print(
                f"{name}: {scaled:.2f} s scaled from {o.other_layers} layers, {gigabytes:.2f} GB, "
                f"l2 = {chosen[0]:.2g}, ratio {scaled / mine:.1f}"
            )


if __name__ == "__main__":
    main()
