import math

import pytest
import torch

from probe_bench.probes.axes import principal_axes
from probe_bench.probes.designs import make_design
from probe_bench.probes.linear import LinearPath
from probe_bench.probes.logistic import fit_softmax, softmax_problems
from probe_bench.probes.search import search

L2 = (1e-1, 1e-2, 1e-3, 1e-4)


@pytest.fixture(scope="module")
def layers() -> list[tuple[torch.Tensor, torch.Tensor]]:
    g = torch.Generator().manual_seed(0)
    made = []
    for spread in (1.5, 4.0):
        y = torch.arange(1200) % 6
        x = torch.randn(6, 30, generator=g)[y] + spread * torch.randn(1200, 30, generator=g)
        made.append((x, y))
    return made


def test_finds_the_strength_and_the_optimum_of_an_exhaustive_search(
    layers: list[tuple[torch.Tensor, torch.Tensor]],
) -> None:
    held_out = [(x[400:], y[400:]) for x, y in layers]
    axes = [principal_axes(x[:400]) for x, _ in layers]
    classes = [y[:400] for _, y in layers]

    def judge(layer: int, probe: LinearPath) -> float:
        x, y = held_out[layer]
        return float((probe.scores(x)[0].argmax(1) == y).float().mean())

    designs = [make_design(a, y, 6) for a, y in zip(axes, classes, strict=True)]
    found = search(softmax_problems(designs), L2, judge)
    paths = fit_softmax(axes, classes, 6, L2, tolerance=1e-9)
    assert len({probe.l2 for probe in found}) > 1  # the layers want different strengths
    for layer, (probe, path) in enumerate(zip(found, paths, strict=True)):
        values = [judge(layer, path.at(i)) for i in range(len(L2))]
        chosen = L2.index(probe.l2[0])
        assert values[chosen] >= max(values) - 0.005
        torch.testing.assert_close(probe.weight[0], path.weight[chosen], rtol=0.01, atol=1e-3)


def test_undefined_validation_keeps_the_strongest_strength(
    layers: list[tuple[torch.Tensor, torch.Tensor]],
) -> None:
    (x, y), _ = layers
    problems = softmax_problems([make_design(principal_axes(x), y, 6)])
    (probe,) = search(problems, L2, lambda *_: math.nan)
    assert probe.l2 == (max(L2),)


def test_weak_strengths_are_left_out_where_validation_has_fallen(
    layers: list[tuple[torch.Tensor, torch.Tensor]],
) -> None:
    (x, y), _ = layers
    asked = []

    def judge(_: int, probe: LinearPath) -> float:
        asked.append(probe.l2[0])
        return probe.l2[0]

    search(softmax_problems([make_design(principal_axes(x), y, 6)]), L2, judge)
    assert asked == [1e-1, 1e-2]
