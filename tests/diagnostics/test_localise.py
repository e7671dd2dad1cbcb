import math
from typing import Any

import numpy as np
import pytest
import torch

from probe_bench.diagnostics.localise import expected_depth, gravity, localise, peak
from probe_bench.scoring import Score

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def scores(curve: list[float], noise: float = 0.01, metric: Any = "accuracy") -> list[Score]:
    g = torch.Generator().manual_seed(0)
    jitter = noise * torch.randn(len(curve), 1001, generator=g, dtype=torch.float64)
    jitter[:, 0] = 0
    return [
        Score(
            layer=f"L{k}",
            probe="logistic",
            setting="",
            unit="clip",
            metric=metric,
            value=value,
            ci_low=None,
            ci_high=None,
            n=100,
            n_groups=50,
            chosen=False,
            replicates=value + jitter[k],
        )
        for k, value in enumerate(curve)
    ]


def test_every_row_is_located_as_a_loop_would() -> None:
    curves = torch.rand(5, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    depths = torch.tensor(DEPTHS, dtype=torch.float64)
    for row in range(40):
        s = curves[:, row].tolist()
        weights = [v - min(s) for v in s]
        assert float(gravity(curves, depths)[row]) == pytest.approx(
            sum(w * d for w, d in zip(weights, DEPTHS, strict=True)) / sum(weights)
        )
        assert float(peak(curves, depths)[row]) == DEPTHS[int(np.argmax(s))]
        gains = [max(s[: k + 1]) - max(s[:k]) for k in range(1, 5)]
        ours = float(expected_depth(curves, depths)[row])
        if sum(gains) == 0:
            assert math.isnan(ours)
        else:
            assert ours == pytest.approx(
                sum(g * d for g, d in zip(gains, DEPTHS[1:], strict=True)) / sum(gains)
            )


def test_a_clear_peak_is_found_and_errors_peak_where_they_are_least() -> None:
    for curve, metric in (
        ([0.2, 0.3, 0.8, 0.4, 0.3], "accuracy"),
        ([0.8, 0.7, 0.2, 0.6, 0.7], "per"),
    ):
        found = {s.metric: s for s in localise(scores(curve, metric=metric), DEPTHS)}
        best = found["depth_peak"]
        assert (best.value, best.ci_low, best.ci_high) == (0.5, 0.5, 0.5)
        assert found["depth_expected"].value == pytest.approx((0.25 * 0.1 + 0.5 * 0.5) / 0.6)


def test_what_only_falls_has_a_centre_but_no_gains() -> None:
    found = {s.metric: s for s in localise(scores([0.8, 0.6, 0.5, 0.4, 0.3]), DEPTHS)}
    assert found["depth_expected"].value is None
    assert found["depth_expected"].setting == "reason=no gain over L0"
    assert found["depth_gravity"].value is not None
    assert found["depth_gravity"].value < 0.3


def test_a_flat_curve_is_located_nowhere() -> None:
    found = {s.metric: s for s in localise(scores([0.5, 0.503, 0.498, 0.501, 0.5]), DEPTHS)}
    assert found["depth_gravity"].value is None
    assert found["depth_gravity"].setting == "reason=flat"
    assert (found["depth_peak"].ci_low, found["depth_peak"].ci_high) == (0, 1)


def test_one_layer_has_no_place() -> None:
    assert localise(scores([0.5]), (0.0,)) == []
