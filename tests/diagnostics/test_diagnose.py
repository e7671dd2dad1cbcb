"""One task through all diagnostics, against scikit-learn on the same subsets in plain loops."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from probe_bench.diagnostics import fits
from probe_bench.diagnostics import plan as planning
from probe_bench.diagnostics.diagnose import Diagnosis, diagnose
from probe_bench.diagnostics.plan import Plan, dimensions, make_plan
from probe_bench.evaluate import Evaluation, evaluate
from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.units import Units
from probe_bench.scoring import Score
from probe_bench.studies.planted import TASK, Planted, plant

EVERY = ("selectivity", "code-length", "v-information", "sample-size", "dimension", "localisation")
CONFIG = ProbeConfig(clip_l2=(1e-1,))
K = 4


def fake_types(_: object, train: Units, test: Units, __: object) -> tuple[np.ndarray, ...]:
    """Acoustic types without audio."""
    return train.clip % 30, test.clip % 30


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant((0.5, 2.0, 1.0), (240, 120, 160), n_classes=K, dim=16)


@pytest.fixture(scope="module")
def evaluation(planted: Planted) -> Evaluation:
    return evaluate(TASK, planted.corpus, planted.folds, planted, 0, config=CONFIG)


@pytest.fixture(scope="module")
def plan(planted: Planted) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "acoustic_types", fake_types)
        return make_plan(
            TASK, planted.corpus, planted.folds, planted.layers, EVERY, seed=0, config=CONFIG
        )


@pytest.fixture(scope="module")
def found(plan: Plan, planted: Planted, evaluation: Evaluation) -> Diagnosis:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fits, "_ROUGH", 1e-9)
        patch.setattr(fits, "_calibrated", lambda _, __, probe: probe)  # as sklearn
        return diagnose(plan, planted, evaluation.scores)


def value(scores: tuple[Score, ...], metric: str, layer: str, start: str = "") -> float:
    (one,) = [
        s for s in scores if (s.metric, s.layer) == (metric, layer) and s.setting.startswith(start)
    ]
    assert one.value is not None
    assert one.ci_low is not None
    assert one.ci_high is not None
    assert one.ci_low <= one.value <= one.ci_high
    return one.value


def parts(planted: Planted, layer: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    (fold,) = planted.folds
    x = planted.x[layer].double().numpy()
    scaler = StandardScaler().fit(x[list(fold.train)])
    y = np.array([int(c.labels["class"][1:]) for c in planted.corpus])
    train, test = list(fold.train), list(fold.test)
    return scaler.transform(x[train]), y[train], scaler.transform(x[test]), y[test]


def model(x: np.ndarray, y: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=1 / (0.1 * len(x)), tol=1e-10, max_iter=20000).fit(x, y)


def test_online_code_is_that_of_a_plain_loop(
    found: Diagnosis, plan: Plan, planted: Planted
) -> None:
    nested = plan.folds[0].nested
    for layer in range(3):
        x, y, _, _ = parts(planted, layer)
        x, y = x[nested.order], y[nested.order]
        bits, start = 0.0, 0
        for stop in nested.sizes:
            unseen = K - len(set(y[:start].tolist()))
            if start == 0:
                bits += stop * np.log2(K)
            else:
                new = (unseen / 2) / (start + K / 2)
                classes = sorted(set(y[:start].tolist()))
                p = (
                    model(x[:start], y[:start]).predict_proba(x[start:stop])
                    if len(classes) > 1
                    else np.ones((stop - start, 1))
                )
                for row, label in zip(p, y[start:stop], strict=True):
                    own = (
                        (1 - new) * row[classes.index(label)] if label in classes else new / unseen
                    )
                    bits -= np.log2(own)
            start = stop
        ours = value(found.train, "code_length_bits", f"L{layer}")
        assert ours == pytest.approx(bits / len(y), rel=1e-3)
        assert value(found.train, "compression", f"L{layer}") == pytest.approx(2 / ours)


def test_information_and_curves_are_those_of_sklearn(
    found: Diagnosis, plan: Plan, planted: Planted
) -> None:
    nested = plan.folds[0].nested
    for layer in range(3):
        x, y, x_test, y_test = parts(planted, layer)
        share = (np.bincount(y) + 0.5) / (len(y) + K / 2)
        log_p = model(x, y).predict_log_proba(x_test)[range(len(y_test)), y_test] / np.log(2)
        information = (log_p - np.log2(share[y_test])).mean()
        assert value(found.test, "v_information_bits", f"L{layer}") == pytest.approx(
            information, abs=1e-3
        )
        for fraction, size in zip(nested.fractions, nested.sizes, strict=True):
            if size >= K and len(set(y[nested.order[:size]].tolist())) > 1:
                rows = nested.order[:size]
                right = (model(x[rows], y[rows]).predict(x_test) == y_test).mean()
                start = f"fraction={fraction:g};n_train={size};"
                ours = value(found.test, "accuracy_at_fraction", f"L{layer}", start)
                assert ours == pytest.approx(right, abs=0.007)


def test_selectivity_is_a_paired_difference(found: Diagnosis, plan: Plan, planted: Planted) -> None:
    control = plan.folds[0].control
    assert control is not None
    for layer in range(3):
        x, y, x_test, y_test = parts(planted, layer)
        given = model(x, control.train.numpy()).predict(x_test)
        right = (given == control.test.numpy()).mean()
        assert value(found.test, "control_accuracy", f"L{layer}") == pytest.approx(right, abs=0.007)
        task = (model(x, y).predict(x_test) == y_test).mean()
        ours = value(found.test, "selectivity", f"L{layer}")
        assert ours == pytest.approx(task - right, abs=0.01)
    names = ("control_accuracy", "accuracy_at_fraction", "selectivity")
    mine = [s for s in found.test if s.layer == "L1" and s.metric in names]
    by_name = {s.metric: s.replicates for s in mine}  # the last fraction is all of train
    difference = by_name["accuracy_at_fraction"] - by_name["control_accuracy"]
    np.testing.assert_allclose(by_name["selectivity"].numpy(), difference.numpy())


def test_what_is_chosen_is_what_the_score_chose(found: Diagnosis, evaluation: Evaluation) -> None:
    (picked,) = [s.layer for s in evaluation.scores if s.chosen and s.layer != "best"]
    for metric in ("selectivity", "v_information_bits"):
        assert {s.layer for s in found.test if s.metric == metric and s.chosen} == {picked, "best"}
        assert value(found.test, metric, "best") == value(found.test, metric, picked)
    assert {s.metric for s in found.tested} == {
        "selectivity",
        "v_information_bits",
        "code_length_bits",
    }


def test_only_what_is_wanted_is_measured(planted: Planted, evaluation: Evaluation) -> None:
    for wanted, metrics in (
        (("v-information",), {"v_information_bits"}),
        (("code-length",), {"code_length_bits", "compression"}),
        (("dimension",), {"accuracy_at_dim"}),
        (("localisation",), {"depth_peak", "depth_gravity", "depth_expected"}),
        ((), set()),
    ):
        plan = make_plan(
            TASK, planted.corpus, planted.folds, planted.layers, wanted, seed=0, config=CONFIG
        )
        found = diagnose(plan, planted, evaluation.scores)
        assert {s.metric for s in (*found.test, *found.train)} == metrics


def test_matched_dimensions_end_at_the_smallest_layer(planted: Planted) -> None:
    layers = [replace(planted.layers[0], dim=dim) for dim in (96, 64, 200)]
    assert dimensions(layers, replace(TASK, unit="frame"), 10_000) == (8, 16, 32, 64)
    assert dimensions(layers, TASK, 10_000) == (8, 16, 32, 64, 128)
    assert dimensions(layers, TASK, 40) == (8, 16, 32)
    assert dimensions([replace(layers[0], dim=2)], TASK, 10_000) == ()
