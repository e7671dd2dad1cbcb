"""Which differences are tested, in which family, and against whom."""

from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
import torch

from probe_bench.contrasts import Scored, contrasts
from probe_bench.encoder import Layer
from probe_bench.lineup import Contestant
from probe_bench.results import Stamp
from probe_bench.rows import COLUMNS, Role, read_comparisons, write_comparisons
from probe_bench.scoring import Score

CLUSTERS = 12
DRAWS = torch.randn(400, CLUSTERS, generator=torch.Generator().manual_seed(0)).double()


def _contestant(name: str, role: Role, rate_hz: int) -> Contestant:
    layer = Layer(
        name="L1", dim=4, depth=1.0, frame_rate_hz=Fraction(rate_hz), first_frame_s=Fraction(0)
    )
    return Contestant(name=name, role=role, layers=(layer,), fingerprint=name)


def _score(layer: str, value: float, probe: str = "logistic", seed: int = 0) -> Score:
    noise = torch.randn(CLUSTERS, generator=torch.Generator().manual_seed(seed)).double()
    replicates = torch.cat([torch.tensor([value]).double(), value + DRAWS @ noise / 400])
    return Score(
        layer=layer,
        probe=probe,
        setting="",
        unit="clip",
        metric="accuracy",
        value=value,
        ci_low=None,
        ci_high=None,
        n=100,
        n_groups=CLUSTERS,
        chosen=layer == "best",
        replicates=replicates,
    )


def _encoder(name: str, role: Role, rate_hz: int, value: float, seed: int) -> Scored:
    scores = [_score("L1", value - 0.1, seed=seed), _score("L2", value, seed=seed + 1)]
    best = _score("best", value, seed=seed + 1)
    return Scored(contestant=_contestant(name, role, rate_hz), scores=[*scores, best])


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    scored = [
        Scored(contestant=None, scores=[_score("", 0.1, "majority", seed=90)]),
        _encoder("a", "subject", 50, 0.6, 1),
        _encoder("b", "subject", 25, 0.5, 3),
        _encoder("logmel:50", "logmel", 50, 0.4, 5),
        _encoder("logmel:25", "logmel", 25, 0.3, 7),
        _encoder("random:a", "random", 50, 0.45, 9),
        _encoder("random:b", "random", 25, 0.45, 11),
    ]
    write_comparisons(
        contrasts(scored, "speaker", "speech", Stamp(run_id="r", seed=0)),
        tmp_path / "comparisons.csv",
    )
    return read_comparisons(tmp_path / "comparisons.csv")


def test_every_question_is_asked_of_the_right_pairs(table: pd.DataFrame) -> None:
    asked = {
        (row.question, row.encoder, row.layer, row.other, row.other_layer)
        for row in table.itertuples()
    }
    assert asked == {
        ("twin", "a", "best", "random:a", "best"),
        ("twin", "b", "best", "random:b", "best"),
        ("logmel", "a", "best", "logmel:50", "best"),
        ("logmel", "b", "best", "logmel:25", "best"),
        ("chance", "a", "best", "", ""),
        ("chance", "b", "best", "", ""),
        ("encoder", "a", "best", "b", "best"),
        ("layer", "a", "L1", "a", "best"),  # L2 is the picked layer itself
        ("layer", "b", "L1", "b", "best"),
    }


def test_numbers_are_of_first_less_second_and_adjusted_within_the_question(
    table: pd.DataFrame,
) -> None:
    rows = table.set_index(["question", "encoder"])
    assert rows.loc[("twin", "a"), "difference"] == pytest.approx(0.15)
    assert rows.loc[("encoder", "a"), "difference"] == pytest.approx(0.1)
    assert rows.loc[("layer", "b"), "difference"] == pytest.approx(-0.1)
    twins = rows.loc["twin"]
    smallest = twins["p"].idxmin()
    assert twins["p_holm"][smallest] == pytest.approx(min(1, 2 * twins["p"][smallest]))
    alone = rows.loc["encoder"]
    assert alone["p_holm"].item() == pytest.approx(alone["p"].item())
    assert ((rows["ci_low"] < rows["difference"]) & (rows["difference"] < rows["ci_high"])).all()


def test_a_run_that_compared_nothing_reads_as_an_empty_table(tmp_path: Path) -> None:
    assert read_comparisons(tmp_path / "comparisons.csv").empty
    write_comparisons([], tmp_path / "comparisons.csv")
    found = read_comparisons(tmp_path / "comparisons.csv")
    assert found.empty
    assert set(found.columns) - set(COLUMNS) == {
        "question", "other", "other_layer", "difference", "p", "p_holm", "p_max_t",
    }  # fmt: skip
