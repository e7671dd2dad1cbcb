import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from probe_bench.probes.standardise import fit_standardiser


def test_it_is_the_scaler_of_sklearn_fitted_on_train() -> None:
    g = torch.Generator().manual_seed(0)
    train, test = 3 + 2 * torch.randn(50, 6, generator=g), torch.randn(20, 6, generator=g)
    expected = StandardScaler().fit(train.double().numpy()).transform(test.double().numpy())
    np.testing.assert_allclose(fit_standardiser(train)(test), expected, atol=1e-5)


def test_dead_dimensions_become_zero() -> None:
    train = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    train[:, 1] = 0.1
    train[:, 2] = 0
    out = fit_standardiser(train)(train + 1e-8)
    assert out.isfinite().all()
    assert (out[:, 1:] == 0).all()
    assert out[:, 0].std(correction=0).item() > 0.99
