import numpy as np
import torch

from probe_bench.probes.blocks import Held, Joined
from probe_bench.probes.moments import measure_moments


def test_sums_of_sets_and_of_their_unions_are_those_of_numpy() -> None:
    g = torch.Generator().manual_seed(0)
    x = 1000 + torch.randn(5000, 6, generator=g)
    y = torch.randint(0, 3, (5000,), generator=g)
    sets = torch.randint(-1, 3, (5000,), generator=g)
    blocks = Joined(parts=[Held(x=x[:700]), Held(x=x[700:])])
    moments = measure_moments(blocks, sets, 3, y, 3)
    unions = torch.tensor([[True, False, True], [True, True, True]])
    united = moments.united(unions)
    for k, inside in enumerate(unions):
        rows = np.isin(sets.numpy(), np.flatnonzero(inside.numpy()))
        some, onehot = x.double().numpy()[rows], np.eye(3)[y.numpy()[rows]]
        mean = (united.total[k] / united.count[k] + united.shift).numpy()
        np.testing.assert_allclose(mean, some.mean(0), rtol=1e-12)
        moved = some - moments.shift.numpy()
        np.testing.assert_allclose(united.gram[k], moved.T @ moved, rtol=1e-10, atol=1e-8)
        np.testing.assert_allclose(united.cross[k], moved.T @ onehot, rtol=1e-10, atol=1e-8)
        np.testing.assert_allclose(united.target[k], onehot.sum(0))
        np.testing.assert_allclose(united.largest[k], np.abs(some).max(0))
