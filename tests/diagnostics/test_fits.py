import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from probe_bench.diagnostics import fits
from probe_bench.diagnostics.fits import Ground, Probe, fit, lay_out, refit

L2 = (1.0, 1e-1, 1e-2, 1e-3)
K = 5


@pytest.fixture(autouse=True)
def _solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solve to the end: what is tested is which problem is solved."""
    monkeypatch.setattr(fits, "_ROUGH", 1e-9)
    monkeypatch.setattr(fits, "_WORTH", 0.0)


class Data:
    """Two layers of clustered classes, split in train and valid."""

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        self.y = torch.randint(K, (700,), generator=g)
        scale = 1 + torch.arange(12) / 4
        self.x = [
            scale
            * (torch.randn(K, 12, generator=g)[self.y] + s * torch.randn(700, 12, generator=g))
            for s in (1.0, 2.5)
        ]

    def ground(self, targets: torch.Tensor | None = None) -> Ground:
        y = self.y if targets is None else targets
        train, valid = ([x[part] for x in self.x] for part in (slice(0, 400), slice(400, 700)))
        return lay_out(train, valid, y[:400], y[400:], K)


@pytest.fixture(scope="module")
def data() -> Data:
    return Data()


def oracle(x: np.ndarray, y: np.ndarray, l2: float) -> LogisticRegression:
    return LogisticRegression(C=1 / (l2 * len(x)), tol=1e-10, max_iter=20000).fit(x, y)


def valid_bits(probe: Probe, ground: Ground, layer: int) -> float:
    logits = probe.logits(ground.valid[layer])
    return float(probe.known.bits(logits, ground.valid_targets).mean())


@pytest.mark.parametrize("n", [60, 400])
def test_strength_is_the_one_of_least_loss_and_the_slope_the_best(data: Data, n: int) -> None:
    ground, rows = data.ground(), torch.arange(n)
    for layer, probe in enumerate(fit(ground, L2, rows=rows)):
        raw = data.x[layer].double().numpy()
        scaler = StandardScaler().fit(raw[:400])
        x, y = scaler.transform(raw), data.y.numpy()
        models = {l2: oracle(x[:n], y[:n], l2) for l2 in L2}
        losses = {
            l2: -model.predict_log_proba(x[400:])[range(300), y[400:]].mean()
            for l2, model in models.items()
        }
        best = min(losses, key=lambda l2: losses[l2])
        assert probe.l2 == best
        z = models[best].decision_function(x[400:])
        prior = np.log(np.bincount(y[:n], minlength=K) + 0.5)

        def loss(s: float, z: np.ndarray = z, prior: np.ndarray = prior) -> float:
            mixed = torch.from_numpy((1 - s) * prior + s * z)
            return float(torch.nn.functional.cross_entropy(mixed, data.y[400:]))

        found = minimize_scalar(loss, bounds=(0, 8), method="bounded")
        assert valid_bits(probe, ground, layer) == pytest.approx(found.fun / np.log(2), abs=1e-3)


def test_first_components_are_those_of_a_pca(data: Data) -> None:
    ground = data.ground()
    for layer, probe in enumerate(fit(ground, (1e-2,), width=3)):
        assert probe.weight.shape == (K, 3)
        x = StandardScaler().fit_transform(data.x[layer][:400].double().numpy())
        reduced = PCA(3).fit_transform(x)
        model = oracle(reduced, data.y[:400].numpy(), 1e-2)
        ours = probe.logits(ground.axes[layer].coordinates).argmax(1).numpy()
        assert (ours == model.predict(reduced)).mean() > 0.99


def test_classes_that_the_units_lack_are_left_to_the_alphabet(data: Data) -> None:
    rows = torch.nonzero(data.y[:400] < 3)[:, 0]
    (probe, _) = fit(data.ground(), L2, rows=rows)
    assert probe.known.columns.tolist() == [0, 1, 2]
    one = torch.nonzero(data.y[:400] == 4)[:7, 0]
    (ignorant, _) = fit(data.ground(), L2, rows=one)
    assert ignorant.known.predicted(ignorant.logits(torch.randn(5, 12))).tolist() == [4] * 5


def test_another_target_is_fitted_at_given_strengths(data: Data) -> None:
    probes = fit(data.ground(), L2)
    shuffled = data.y[torch.randperm(700, generator=torch.Generator().manual_seed(1))]
    again = refit(data.ground(shuffled), probes, L2)
    for layer, (probe, other) in enumerate(zip(probes, again, strict=True)):
        assert other.l2 == probe.l2
        x = StandardScaler().fit_transform(data.x[layer][:400].double().numpy())
        z = oracle(x, shuffled[:400].numpy(), probe.l2).decision_function(x)
        ours = other.logits(data.ground().axes[layer].coordinates).double()
        centred = ours - ours.mean(1, keepdim=True)
        np.testing.assert_allclose(centred.numpy(), z - z.mean(1, keepdims=True), atol=2e-3)


def test_features_without_information_end_at_the_class_frequencies() -> None:
    g = torch.Generator().manual_seed(3)
    x, y = torch.randn(1200, 40, generator=g), torch.randint(3, (1200,), generator=g)
    ground = lay_out([x[:40]], [x[40:]], y[:40], y[40:], 3)
    (probe,) = fit(ground, (1e-3, 1e-4))
    prior = float(probe.known.prior_bits(y[40:]).mean())
    assert valid_bits(probe, ground, 0) <= prior + 0.01
