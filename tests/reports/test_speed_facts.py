"""What the sentence on speed is made of is what the rows say."""

import math

import pandas as pd
import pytest

from probe_bench.reports.metrics import Score
from probe_bench.reports.speed_facts import Reading, SpeedFacts, apart, speed_facts


def facts_of(table: pd.DataFrame, name: str) -> SpeedFacts:
    (mine,) = (facts for facts in speed_facts(table) if facts.name == name)
    return mine


def hz(table: pd.DataFrame, name: str, layer: str) -> float:
    rows = table[(table["metric"] == "support_total_hz") & (table["layer"] == layer)]
    return float(rows.loc[rows["name"] == name, "value"].iloc[0])


def ends(facts: SpeedFacts) -> list[str]:
    return [end.layer for end in facts.span or ()]


def changed(table: pd.DataFrame, *, layer: str, **values: object) -> pd.DataFrame:
    """The cutoffs of one layer of wavjepa with other values."""
    there = table["metric"].str.startswith("support_") & table["metric"].str.endswith("_hz")
    there &= (table["name"] == "wavjepa") & (table["layer"] == layer)
    table = table.copy()
    for column, value in values.items():
        table.loc[there, column] = value
    return table


def test_the_last_block_stands_beside_its_baselines(table: pd.DataFrame) -> None:
    mine = facts_of(table, "wavjepa")
    assert (mine.corpus, mine.support.layer) == ("", "L4")
    assert mine.support.score.value == hz(table, "wavjepa", "L4")
    assert mine.support.score.high == pytest.approx(mine.support.score.value * 1.08 * 1.06)
    assert mine.twin is not None
    assert mine.twin.score.value == hz(table, "random:wavjepa", "L4")
    assert mine.twin_is == "faster"
    assert mine.logmel is not None
    assert mine.logmel.score.censored
    assert mine.logmel_rate_hz == 100
    assert ends(mine) == ["cnn", "out_norm"]
    assert (mine.phones, mine.emphasis, mine.measured) == (None, None, None)


def test_layers_that_cannot_be_told_apart_have_no_range(table: pd.DataFrame) -> None:
    same = {"value": 9.0, "ci_low": 8.0, "ci_high": 10.0, "censored": False}
    for layer in ("cnn", "in", "L1", "L2", "L3", "L4", "out_norm"):
        table = changed(table, layer=layer, **same)
    assert facts_of(table, "wavjepa").span is None


def test_a_last_block_that_could_not_be_measured_says_why(table: pd.DataFrame) -> None:
    nothing = {"value": math.nan, "ci_low": math.nan, "ci_high": math.nan}
    table = changed(table, layer="out_norm", **nothing)
    mine = facts_of(changed(table, layer="L4", **nothing, setting="reason=R² = 0.04"), "wavjepa")
    assert (mine.support.score.measured, mine.support.reason) == (False, "R² = 0.04")
    assert mine.measured is not None
    assert mine.measured.layer == "L3"
    assert (mine.span, mine.twin_is) == (None, "")


def test_phones_and_emphasis_are_of_the_last_block(table: pd.DataFrame) -> None:
    rows = table[table["metric"] == "support_total_hz"]
    phones = rows.assign(metric="support_phones_total_hz", value=rows["value"] / 2)
    emphasis = rows.assign(metric="emphasis_total_hz", value=rows["value"] / 3)
    mine = facts_of(pd.concat([table, phones, emphasis], ignore_index=True), "audio-jepa")
    assert mine.phones is not None
    assert mine.phones.score.value == pytest.approx(mine.support.score.value / 2)
    assert mine.emphasis is not None
    assert mine.emphasis.score.value == pytest.approx(mine.support.score.value / 3)


def test_corpora_are_named_where_there_are_several(table: pd.DataFrame) -> None:
    both = pd.concat([table, table.assign(corpus="real")], ignore_index=True)
    assert [(facts.name, facts.corpus) for facts in speed_facts(both)] == [
        ("wavjepa", "speech"), ("audio-jepa", "speech"), ("wavjepa", "real"), ("audio-jepa", "real"),
    ]  # fmt: skip
    assert speed_facts(table[table["task"] != "modulation"]) == []


def test_an_encoder_of_one_layer_needs_no_layer_and_no_baseline(table: pd.DataFrame) -> None:
    rows = table[(table["name"] == "wavjepa") & (table["layer"] == "in")]
    mine = facts_of(rows, "wavjepa")
    assert mine.support == Reading(score=mine.support.score)
    assert (mine.twin, mine.logmel, mine.span) == (None, None, None)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Score(value=9.0, low=8.0, high=10.0), Score(value=12.0, low=11.0, high=13.0), True),
        (Score(value=9.0, low=8.0, high=10.0), Score(value=11.0, low=9.9, high=13.0), False),
        (Score(value=9.0, low=8.0, high=10.0), Score(value=40.0, low=38.0, censored=True), True),
        (Score(value=9.0, low=8.0), Score(value=40.0, low=38.0, censored=True), False),
        (Score(value=9.0), Score(value=40.0, low=38.0, censored=True), False),
        (Score(value=math.nan), Score(value=40.0, low=38.0, censored=True), False),
    ],
)
def test_intervals_that_meet_show_no_difference(one: Score, other: Score, expected: bool) -> None:
    assert apart(one, other) == apart(other, one) == expected
