"""CKA against Gram matrices in a loop, its invariances, and the traps it is meant to avoid."""

import numpy as np
import pytest
import torch
from torch import Tensor

from probe_bench.geometry import cka as module
from probe_bench.geometry.cka import cka, grams, hsic

FOLD = torch.arange(24) % 4


def hsic_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC_1 as a sum over all i, j, q, r that differ (Song et al. 2012, eq. 4), in closed loops."""
    k, l, n = x @ x.T, y @ y.T, len(x)  # noqa: E741
    total = 0.0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q])
    return total / (n * (n - 1) * (n - 2) * (n - 3))


def layer(seed: int, clips: int = 24, dim: int = 6) -> Tensor:
    return torch.randn(clips, 3, dim, generator=torch.Generator().manual_seed(seed))


def test_hsic_is_the_u_statistic_averaged_over_minibatches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 8)
    x = layer(0)
    y = 0.5 * x[:, :, :4] + layer(1)[:, :, :4] + 3
    found = hsic([grams(x), grams(y)], FOLD)
    assert found.shape == (5, 2, 2)
    for replicate, left in ((0, None), (2, 1)):
        values = []
        for batch in range(3):
            kept = [c for c in range(8 * batch, 8 * batch + 8) if int(FOLD[c]) != left]
            values += [
                hsic_by_definition(x[kept, r].double().numpy(), y[kept, r].double().numpy())
                for r in range(3)
            ]
        assert float(found[replicate, 0, 1]) == pytest.approx(np.mean(values), rel=1e-4)


def test_rotation_scale_and_shift_change_nothing() -> None:
    x, y = layer(0), layer(0) @ torch.randn(6, 9) + layer(1, dim=9)
    turn = torch.linalg.qr(torch.randn(6, 6))[0]
    plain, turned = (cka(hsic([grams(a), grams(y)], FOLD))[0, 0, 1] for a in (x, 7 * x @ turn + 40))
    assert float(plain) == pytest.approx(float(turned), rel=1e-3)
    assert float(plain) > 0.2
    assert float(cka(hsic([grams(x), grams(-2 * x @ turn)], FOLD))[0, 0, 1]) == pytest.approx(1)


def test_independent_layers_are_not_alike_however_wide() -> None:
    wide = [grams(layer(seed, clips=64, dim=256)) for seed in (1, 2)]
    assert abs(float(cka(hsic(wide, torch.arange(64) % 4))[0, 0, 1])) < 0.03


def test_independent_slow_layers_are_not_alike() -> None:
    """Within a clip both drift; a minibatch of consecutive frames would find that alike."""
    rng = np.random.default_rng(0)
    slow = [torch.from_numpy(rng.standard_normal((64, 40, 16)).cumsum(1)).float() for _ in range(2)]
    found = cka(hsic([grams(x) for x in slow], torch.arange(64) % 4))[0, 0, 1]
    assert abs(float(found)) < 0.05
    within = [grams(x[:1].transpose(0, 1)) for x in slow]
    assert float(cka(hsic(within, torch.arange(40) % 4))[0, 0, 1]) > 0.15


def test_a_constant_layer_is_like_nothing() -> None:
    found = cka(hsic([grams(layer(0)), grams(torch.ones(24, 3, 2))], FOLD))
    assert found[:, 0, 1].isnan().all()
    assert float(found[0, 0, 0]) == pytest.approx(1)
