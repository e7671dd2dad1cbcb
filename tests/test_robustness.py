"""Areas and shares: their values by hand, their intervals from shared resamples."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from probe_bench.bootstrap import interval
from probe_bench.contrasts import Scored, contrasts
from probe_bench.degradations import KINDS, Degradation
from probe_bench.encoder import Layer
from probe_bench.lineup import Contestant
from probe_bench.metrics import LOWER_IS_BETTER
from probe_bench.results import Stamp
from probe_bench.robustness import chance_areas, robustness
from probe_bench.rows import Role
from probe_bench.scoring import Score

ROWS = 401


def made(value: float, noise: torch.Tensor, metric: str = "accuracy", layer: str = "best") -> Score:
    replicates = value + noise
    replicates[0] = value
    return Score(
        layer=layer, probe="logistic", setting="l2=1", unit="clip", metric=metric, value=value,
        ci_low=None, ci_high=None, n=100, n_groups=20, chosen=layer == "best", replicates=replicates,
    )  # fmt: skip


@pytest.fixture
def noise() -> torch.Tensor:
    return 0.02 * torch.randn(ROWS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def degradations(kind: str) -> list[Degradation]:
    found = KINDS[kind]
    return [Degradation(kind=found, severity=s, seed=0) for s in found.severities]


@pytest.mark.parametrize("metric", ["accuracy", "eer"])
def test_area_and_share_by_hand(metric: str, noise: torch.Tensor) -> None:
    lower = metric in LOWER_IS_BETTER
    clean, chance, under = (0.1, 0.5, [0.2, 0.3]) if lower else (0.9, 0.1, [0.7, 0.5])
    kind = degradations("band")[:2]
    found = robustness(
        [made(clean, noise, metric), made(clean, noise, metric, "in")],
        [
            (d, [made(v, 2 * noise, metric), made(v, noise, metric, "in")])
            for d, v in zip(kind, under, strict=True)
        ],
        [made(chance, 0 * noise, metric, "")],
    )
    assert list(found.scores) == ["test+band"]
    points, summaries = found.scores["test+band"][:4], found.scores["test+band"][4:]
    assert [s.setting for s in points] == ["l2=1;cutoff_hz=4000"] * 2 + ["l2=1;cutoff_hz=2000"] * 2
    area, share = found.picked
    assert area.metric == f"robustness_area:band:{metric}"
    assert area.setting == "l2=1;cutoff_hz=4000|2000"
    assert area.value == pytest.approx(np.mean(under))
    assert share.metric == f"robustness_share:band:{metric}"
    assert share.value == pytest.approx((np.mean(under) - chance) / (clean - chance))
    # To first order the ratio of the resamples, its interval that of tests at every share.
    by_hand = (np.mean(under) + 2 * noise - chance) / (clean + noise - chance)
    np.testing.assert_allclose(share.replicates[1:], by_hand[1:], atol=0.04)
    assert share.ci_low is not None
    assert share.ci_high is not None
    assert share.ci_low < share.value < share.ci_high
    assert [s.layer for s in summaries] == ["best", "best", "in", "in"]
    for q in (share.ci_low, share.ci_high):
        left = (np.mean(under) + 2 * noise - chance) - q * (clean + noise - chance)
        left[0] = (np.mean(under) - chance) - q * (clean - chance)
        at_the_edge = interval(left, 20)
        assert at_the_edge.low is not None
        assert at_the_edge.high is not None
        assert min(abs(at_the_edge.low), abs(at_the_edge.high)) < 1e-9


def test_severity_zero_keeps_everything(noise: torch.Tensor) -> None:
    clean = made(0.8, noise)
    found = robustness(
        [clean], [(d, [clean]) for d in degradations("reverb")], [made(0.2, 0 * noise, layer="")]
    )
    area, share = found.picked
    assert area.value == pytest.approx(0.8)
    torch.testing.assert_close(area.replicates, clean.replicates)
    assert (share.value, share.ci_low, share.ci_high) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(("metric", "clean"), [("accuracy", 0.22), ("accuracy", 0.0), ("per", 1.3)])
def test_no_share_of_what_is_not_above_chance(
    metric: str, clean: float, noise: torch.Tensor
) -> None:
    chance = made(1.0 if metric == "per" else 0.2, 0 * noise, metric, "")
    score = made(clean, noise, metric)
    found = robustness([score], [(d, [score]) for d in degradations("band")], [chance])
    area, share = found.picked
    assert area.value == pytest.approx(clean)
    assert (share.value, share.ci_low, share.ci_high) == (None, None, None)


@pytest.mark.parametrize("metric", ["accuracy", "eer"])
def test_half_rates_stand_beside_areas_where_modulations_fall(
    metric: str, noise: torch.Tensor
) -> None:
    """Half of what is above chance is gone half an octave below 8 Hz."""
    clean, chance = (0.1, 0.5) if metric in LOWER_IS_BETTER else (0.9, 0.1)
    shares = (1.0, 0.75, 0.25, 0.1, 0.0)
    under = [chance + share * (clean - chance) for share in shares]
    found = robustness(
        [made(clean, 0.1 * noise, metric)],
        [
            (d, [made(v, 0.2 * noise, metric)])
            for d, v in zip(degradations("modulations"), under, strict=True)
        ],
        [made(chance, 0 * noise, metric, "")],
    )
    half = found.scores["test+modulations"][-1]
    assert half.metric == f"half_rate_hz:{metric}"
    assert half.value == pytest.approx(8 / 2**0.5)
    assert half.setting == "l2=1;mod_cutoff_hz=16|8|4|2|1"
    assert not half.censored
    assert half.ci_low is not None
    assert half.ci_high is not None
    assert 4 < half.ci_low < half.value < half.ci_high < 8
    assert half.replicates[0] == half.value
    assert half not in found.picked  # no paired test: some resamples have no number


def test_what_no_cutoff_halves_is_said_in_the_setting(noise: torch.Tensor) -> None:
    kinds = degradations("modulations")

    def half(clean: float, under: float) -> Score:
        pairs = [(d, [made(under, noise)]) for d in kinds]
        found = robustness([made(clean, noise)], pairs, [made(0.2, 0 * noise, layer="")])
        return found.scores["test+modulations"][-1]

    slow, fast, unknown = half(0.8, 0.7), half(0.8, 0.3), half(0.21, 0.2)
    severities = "mod_cutoff_hz=16|8|4|2|1"
    assert (slow.value, slow.censored, slow.ci_low) == (1.0, True, None)
    assert slow.setting == f"l2=1;bound=at most;{severities}"
    assert (fast.value, fast.censored, fast.ci_high) == (16.0, True, None)
    assert fast.setting == f"l2=1;bound=at least;{severities}"
    assert (unknown.value, unknown.censored) == (None, False)
    assert "reason=" in unknown.setting


def test_kinds_stand_apart_and_chance_does_not_hear(noise: torch.Tensor) -> None:
    both = [*degradations("band"), *degradations("noise-white")]
    clean, chance = made(0.8, noise), made(0.2, 0 * noise, layer="")
    found = robustness([clean], [(d, [clean]) for d in both], [chance])
    assert {split: len(scores) for split, scores in found.scores.items()} == {
        "test+band": 4 + 2,
        "test+noise-white": 6 + 2,
    }
    guesses = list(chance_areas([chance], both))
    assert [score.metric for score in guesses] == [
        "robustness_area:band:accuracy",
        "robustness_area:noise-white:accuracy",
    ]
    assert all(torch.equal(score.replicates, chance.replicates) for score in guesses)


def test_areas_and_shares_are_compared_like_scores(noise: torch.Tensor) -> None:
    """Encoders with each other, twins and chance, on differences of the areas' own replicates."""

    def scored(name: str, role: Role, clean: float, under: float) -> Scored:
        layer = Layer(
            name="L1", dim=1, depth=1.0, frame_rate_hz=Fraction(50), first_frame_s=Fraction(0)
        )
        found = robustness(
            [made(clean, noise), made(clean, noise, layer="L1")],
            [
                (d, [made(under, noise), made(under, noise, layer="L1")])
                for d in degradations("band")
            ],
            [chance],
        )
        contestant = Contestant(name=name, role=role, layers=(layer,), fingerprint=name)
        return Scored(contestant=contestant, scores=found.picked)

    chance = made(0.1, 0 * noise, layer="")
    rows = [
        Scored(contestant=None, scores=list(chance_areas([chance], degradations("band")))),
        scored("a", "subject", 0.9, 0.6),
        scored("b", "subject", 0.8, 0.7),
        scored("random:a", "random", 0.5, 0.4),
    ]
    tests = list(contrasts(rows, "speaker", "speech", Stamp(run_id="r", seed=0)))
    area = {(t.question, t.encoder): t.difference for t in tests if "area" in t.metric}
    assert area == pytest.approx(
        {("twin", "a"): 0.2, ("chance", "a"): 0.5, ("chance", "b"): 0.6, ("encoder", "a"): -0.1}
    )
    share = {(t.question, t.encoder): t.difference for t in tests if "share" in t.metric}
    assert share == pytest.approx(
        {("twin", "a"): 0.5 / 0.8 - 0.3 / 0.4, ("encoder", "a"): 0.5 / 0.8 - 0.6 / 0.7}
    )
