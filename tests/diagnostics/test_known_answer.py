"""Planted label information of known size, in known layers: the engine must find it."""

import pytest
import torch

from probe_bench.diagnostics.diagnose import Diagnosis, diagnose
from probe_bench.diagnostics.plan import make_plan
from probe_bench.evaluate import Evaluation, evaluate
from probe_bench.scoring import Score
from probe_bench.studies.planted import TASK, Planted, bayes_rate, information_bits, plant

SIGNALS = (0.5, 1.5, 2.5, 1.5)
CLASSES = 8
WANTED = ("v-information", "code-length", "sample-size", "dimension", "localisation")


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(SIGNALS, (8000, 1000, 8000), n_classes=CLASSES, dim=24, shared=0.1)


@pytest.fixture(scope="module")
def evaluated(planted: Planted) -> Evaluation:
    return evaluate(TASK, planted.corpus, planted.folds, planted, 0)


@pytest.fixture(scope="module")
def diagnosed(planted: Planted, evaluated: Evaluation) -> Diagnosis:
    plan = make_plan(TASK, planted.corpus, planted.folds, planted.layers, WANTED, seed=0)
    return diagnose(plan, planted, evaluated.scores)


def one(scores: tuple[Score, ...], metric: str, layer: str, start: str = "") -> Score:
    (found,) = [
        s for s in scores if (s.metric, s.layer) == (metric, layer) and s.setting.startswith(start)
    ]
    return found


def test_the_closed_form_is_what_the_best_classifier_reaches(planted: Planted) -> None:
    targets = torch.tensor([int(c.labels["class"][1:]) for c in planted.corpus])
    for layer, signal in enumerate(SIGNALS):
        scores = planted.x[layer].double() @ planted.directions[layer].T
        rate = float((scores.argmax(1) == targets).double().mean())
        assert rate == pytest.approx(bayes_rate(signal, CLASSES), abs=0.012)
        log_p = torch.log_softmax(signal * scores, 1).gather(1, targets[:, None])
        bits = 3 + float(log_p.mean()) / torch.log(torch.tensor(2.0)).item()
        assert bits == pytest.approx(information_bits(signal, CLASSES), abs=0.03)


def test_accuracy_is_within_a_point_of_the_bayes_rate(evaluated: Evaluation) -> None:
    for layer, signal in enumerate(SIGNALS):
        score = one(evaluated.scores, "accuracy", f"L{layer}")
        assert score.value == pytest.approx(bayes_rate(signal, CLASSES), abs=0.01)
        assert score.ci_low is not None
        assert score.ci_high is not None
        assert score.ci_low < bayes_rate(signal, CLASSES) < score.ci_high
    assert one(evaluated.scores, "accuracy", "best").setting.startswith("layer=L2")


def test_information_is_that_of_the_gaussians(diagnosed: Diagnosis) -> None:
    for layer, signal in enumerate(SIGNALS):
        score = one(diagnosed.test, "v_information_bits", f"L{layer}")
        assert score.value == pytest.approx(information_bits(signal, CLASSES), abs=0.04)


def test_code_is_longer_than_the_entropy_left_and_shortest_where_most_is_planted(
    diagnosed: Diagnosis,
) -> None:
    lengths = [one(diagnosed.train, "code_length_bits", f"L{k}").value or 0.0 for k in range(4)]
    left = [3 - information_bits(signal, CLASSES) for signal in SIGNALS]
    assert all(a > b for a, b in zip(lengths, left, strict=True))
    assert lengths[2] == min(lengths)
    assert lengths[2] == pytest.approx(left[2], abs=0.1)


def test_learning_curve_rises_to_the_bayes_rate(diagnosed: Diagnosis) -> None:
    curve = [s for s in diagnosed.test if s.metric == "accuracy_at_fraction" and s.layer == "L2"]
    values = [s.value or 0.0 for s in curve]
    assert values[-1] == pytest.approx(bayes_rate(SIGNALS[2], CLASSES), abs=0.01)
    assert values[0] < values[-1] - 0.05
    assert [s.setting.split(";")[0] for s in curve][-2:] == ["fraction=0.5", "fraction=1"]


def test_the_right_layer_is_located(diagnosed: Diagnosis) -> None:
    peak = one(diagnosed.test, "depth_peak", "all")
    assert (peak.value, peak.ci_low, peak.ci_high) == (
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    )
    rates = [bayes_rate(signal, CLASSES) for signal in SIGNALS]
    weights = [rate - min(rates) for rate in rates]
    gravity = sum(w * k / 3 for k, w in enumerate(weights)) / sum(weights)
    gains = [rates[1] - rates[0], rates[2] - rates[1]]
    expected = sum(g * (k + 1) / 3 for k, g in enumerate(gains)) / sum(gains)
    for metric, truth in (("depth_gravity", gravity), ("depth_expected", expected)):
        score = one(diagnosed.test, metric, "all")
        assert score.value == pytest.approx(truth, abs=0.02)
        assert score.ci_low is not None
        assert score.ci_high is not None
        assert score.ci_low < truth < score.ci_high


def test_nothing_is_located_in_a_flat_curve() -> None:
    flat = plant((1.5, 1.5, 1.5, 1.5), (400, 200, 800), n_classes=CLASSES, dim=24)
    scores = evaluate(TASK, flat.corpus, flat.folds, flat, 0).scores
    plan = make_plan(TASK, flat.corpus, flat.folds, flat.layers, ("localisation",), seed=0)
    found = diagnose(plan, flat, scores).test
    for metric in ("depth_gravity", "depth_expected"):
        score = one(found, metric, "all")
        assert score.value is None
        assert score.setting.startswith("reason=")
    peak = one(found, "depth_peak", "all")
    assert (peak.ci_high or 0) - (peak.ci_low or 0) > 0.5
