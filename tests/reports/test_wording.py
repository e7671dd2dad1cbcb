"""Verdicts and the sentences made of them."""

import math

import pandas as pd
import pytest

from probe_bench.reports.metrics import Score
from probe_bench.reports.wording import findings, verdict

LOW, MIDDLE, HIGH = (
    Score(value=centre, low=centre - 0.06, high=centre + 0.06) for centre in (0.3, 0.4, 0.5)
)


@pytest.mark.parametrize(
    ("score", "baseline", "metric", "expected"),
    [
        (HIGH, LOW, "accuracy", "beats"),
        (LOW, HIGH, "accuracy", "is below"),
        (LOW, HIGH, "eer", "beats"),
        (HIGH, LOW, "per", "is below"),
        (MIDDLE, LOW, "accuracy", "cannot be told from"),
        (HIGH, Score(value=0.1), "accuracy", None),
        (HIGH, Score(value=math.nan), "accuracy", None),
        (HIGH, LOW, "support_hz", None),
        (HIGH, LOW, "a_new_metric", None),
    ],
)
def test_verdicts_follow_the_intervals(
    score: Score, baseline: Score, metric: str, expected: str | None
) -> None:
    assert verdict(score, baseline, metric) == expected


def test_the_summary_says_what_the_rows_say(table: pd.DataFrame) -> None:
    wavjepa, audio = findings(table)
    assert (wavjepa.name, audio.name) == ("wavjepa", "audio-jepa")
    for role in ("random", "logmel"):
        assert [(found.sign, found.verdict, found.tasks) for found in wavjepa.against[role]] == [
            ("▲", "beats", ["speaker", "phoneme"]),
            ("≈", "cannot be told from", ["emotion", "tagging"]),
        ]
    (found,) = wavjepa.cutoffs
    assert found.corpus == ""
    assert [(layer, score.value, score.censored) for layer, score in found.support] == [
        ("cnn", 40.0, True),
        ("out_norm", pytest.approx(5.0, abs=0.05), False),
    ]


def test_tasks_on_several_corpora_are_told_apart(table: pd.DataFrame) -> None:
    there = table[table["task"] == "speaker"].assign(corpus="real")
    found = findings(pd.concat([table, there], ignore_index=True))[0].against["random"]
    assert found[0].tasks == ["speaker on speech", "phoneme", "speaker on real"]


def test_cutoffs_on_several_corpora_are_told_apart(table: pd.DataFrame) -> None:
    there = table[table["task"] == "modulation"].assign(corpus="real")
    there = there.assign(value=there["value"] / 2)
    here, real = findings(pd.concat([table, there], ignore_index=True))[0].cutoffs
    assert (here.corpus, real.corpus) == ("speech", "real")
    for (layer, score), (same, slower) in zip(here.support, real.support, strict=True):
        assert (layer, score.value) == (same, 2 * slower.value)


def test_missing_baselines_are_not_spoken_of(table: pd.DataFrame) -> None:
    alone = table[table["role"] == "subject"]
    for finding in findings(alone):
        assert finding.against == {"random": [], "logmel": []}
