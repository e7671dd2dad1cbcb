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
    assert wavjepa.name == "wavjepa"
    assert wavjepa.verdicts == (
        "beats its random twin on 2 of 4 tasks (speaker, phoneme) "
        "and cannot be told from it on 2 (emotion, tagging); "
        "beats log-mel on 2 of 4 tasks (speaker, phoneme) "
        "and cannot be told from it on 2 (emotion, tagging)"
    )
    best = table[(table["encoder"] == "audio-jepa") & (table["layer"] == "best")]
    for value in best.loc[best["metric"].isin(["accuracy", "uar", "map"]), "value"]:
        assert f"{100 * value:.1f}\u202f%" in audio.layers
    assert (
        wavjepa.cutoff == "Support cutoff: > 40\u202fHz at cnn, 5.0\u202fHz [4.7, 5.4] at out_norm."
    )


def test_missing_baselines_are_not_spoken_of(table: pd.DataFrame) -> None:
    alone = table[table["role"] == "subject"]
    assert [finding.verdicts for finding in findings(alone)] == ["", ""]
